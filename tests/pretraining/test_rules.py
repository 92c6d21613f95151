"""Which settings are chosen for which pictures, and what a user gave that stays."""

import dataclasses

import pytest

from mocotf.pretraining import rules
from mocotf.pretraining.look import Facts
from mocotf.pretraining.settings import Pretraining
from mocotf.pretraining.speed import Pace

FACTS = Facts(pictures=5000, side=32, classes=10, gray=False, replicas=1, accelerator=False)


def facts(**changes):
    return dataclasses.replace(FACTS, **changes)


def values(known, given=None, seconds=900.0, step=0.06):
    """Returns name → value of all that holds for `Facts`: given, and chosen beside."""
    given = {"dataset": "folder", "data_dir": "photos"} | (given or {})
    choices = rules.fit(known, given, rules.sides(known)[-1])
    rules.pace(choices, known, seconds, Pace(10.0, step, 0.7))
    assert not choices.values.keys() & given.keys()
    return given | choices.values


@pytest.mark.parametrize("pictures", [9, 20, 100, 1000, 5000, 50000, 10**7])
@pytest.mark.parametrize("replicas", [1, 3, 8])
@pytest.mark.parametrize("accelerator", [False, True])
def test_what_is_chosen_goes_together(pictures, replicas, accelerator):
    known = facts(pictures=pictures, replicas=replicas, accelerator=accelerator, side=200)
    chosen = values(known)
    settings = Pretraining.of({"seed": 0} | chosen, chosen.keys())
    settings.check_devices(replicas, 1)
    setup = {"batch_size": chosen["batch_size"], "replicas": replicas, "images": pictures}
    settings.config.check(**setup)


def test_what_was_given_stays_and_the_rest_is_chosen_for_it():
    assert values(FACTS)["moco_k"] == 256
    found = values(FACTS, {"batch_size": 256, "bn_splits": 2, "arch": "resnet18"})
    assert found["moco_k"] == 512 and found["lr"] == 4 * values(FACTS)["lr"]
    assert "width" not in found


def test_a_method_without_a_queue_is_given_none():
    assert not {"moco_k", "moco_m"} & values(FACTS, {"mechanism": "simsiam"}).keys()
    assert "cos" not in values(FACTS, {"schedule": (10.0,)})
    assert not {"arch", "width", "stem"} & values(FACTS, {"backbone": "a:b"}).keys()


def test_gray_pictures_have_no_colours_to_change():
    assert values(facts(gray=True))["jitter"][2:] == (0.0, 0.0)


def test_a_run_takes_the_time_that_there_is():
    epoch = 5000 // 64 * 0.06
    for seconds in (60.0, 900.0):
        epochs = values(FACTS, seconds=seconds)["epochs"]
        assert 0.7 * seconds < epochs * epoch < seconds
    short = values(FACTS, seconds=4.0)
    assert "epochs" not in short and 10 < short["steps"] < 5000 // 64
    assert values(facts(pictures=20), seconds=1e6)["epochs"] == rules.MOST_EPOCHS


def test_views_are_as_large_as_the_pictures_and_the_time_allow():
    large = facts(side=240)
    assert rules.sides(large)[-1] == 224 and rules.sides(FACTS) == [32] and rules.sides(facts(side=9))
    assert rules.larger_side(large, 32, 10) == 32
    assert rules.larger_side(large, 32, rules.EPOCHS * 4) == 64
    assert rules.larger_side(large, 32, 10**6) == 224
