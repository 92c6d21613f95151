"""Batch norm's groups follow the devices that a run goes on with."""

import json

import keras
import pytest

from mocotf.errors import UserError
from mocotf.pretraining.elastic import following
from mocotf.pretraining.elastic import splits_on
from mocotf.pretraining.settings import Pretraining
from mocotf.settings import texts_of
from mocotf.training.run_dir import RunDir
from tests.saved_run import FLAGS


def settings_of(folder, bn_splits=4, **values):
    """Returns the settings of a run that has so many BN groups a replica."""
    return Pretraining.of(FLAGS | {"model_dir": str(folder), "bn_splits": bn_splits} | values, given=())


def begin(folder, settings, replicas):
    """Writes a run directory of settings and replicas."""
    RunDir(str(folder), settings.saved, {"replicas": replicas})._lock.close()


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize(("replicas", "splits"), [(1, 8), (2, 4), (4, 2), (8, 1)])
def test_groups_are_kept(tmp_path, replicas, splits, given):
    settings = settings_of(tmp_path)
    begin(tmp_path, settings, 2)
    assert splits_on(settings, replicas, given=given) == splits


def test_the_command_that_began_a_run_finds_its_groups_on_other_devices_ever_after(tmp_path):
    begun = settings_of(tmp_path, 8)
    begin(tmp_path, begun, 1)
    for replicas in (2, 2, 4, 1):
        splits = splits_on(begun, replicas, given=True)
        assert replicas * splits == 8
        settings, facts = begun.with_bn_splits(splits), {"replicas": replicas}
        run_dir = RunDir(str(tmp_path), settings.saved, facts, follows=("--bn_splits", "replicas"))
        run_dir.keep_changes(5)
        run_dir._lock.close()
    assert splits_on(settings_of(tmp_path, 16), 2, given=True) == 16  # for the run directory to refuse


def test_replicas_that_cannot_have_the_groups_are_refused_by_those_that_can(tmp_path):
    settings = settings_of(tmp_path, 6)
    begin(tmp_path, settings, 1)
    with pytest.raises(
        UserError, match=r"has 6 BN groups, .* on each of 1 .*; expected 1, 2, 3, 6 rep"
    ):
        splits_on(settings, 4, given=False)
    changed = settings_of(tmp_path, 6, resume_with_changes=True)
    assert splits_on(changed, 4, given=False) == 6


@pytest.mark.parametrize("replicas", [1, 3])
def test_where_there_is_nothing_to_keep_settings_stay(tmp_path, replicas):
    settings = settings_of(tmp_path / "new", 4)
    assert splits_on(settings, replicas, given=False) == 4
    (tmp_path / "flags.cfg").write_text("".join(f"--{n}={t}\n" for n, t in FLAGS.items()))
    assert splits_on(settings_of(tmp_path), replicas, given=False) == 4  # replicas are not known
    over_all = settings_of(tmp_path, 4, mechanism="simclr")
    (tmp_path / "facts.json").write_text(json.dumps({"replicas": 2}))
    assert splits_on(over_all, replicas, given=False) == 4


def test_settings_with_other_groups_are_those_else():
    settings = settings_of("runs/a", 2)
    other = settings.with_bn_splits(4)
    assert (settings.config.encoder.bn_splits, other.config.encoder.bn_splits) == (2, 4)
    there, here = texts_of(settings.saved), texts_of(other.saved)
    assert here == there | {"bn_splits": "4"}


@pytest.mark.parametrize(
    ("values", "layer", "follows"),
    [
        ({}, keras.layers.Dense(2), True),
        ({"grad_accum_steps": 2}, keras.layers.Dense(2), False),
        ({"grad_accum_steps": 2, "shuffle_bn": "off"}, keras.layers.Dense(2), True),
        ({}, keras.layers.Dropout(0.5), False),
    ],
)
def test_what_replicas_would_shuffle_or_draw_otherwise_is_held(tmp_path, values, layer, follows):
    model = keras.Sequential([keras.Input((3,)), layer])
    found = following(settings_of(tmp_path, **values), model)
    assert found == (("--bn_splits", "replicas") if follows else ())
