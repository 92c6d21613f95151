"""What records say of a run's health: of each thing once, for its cause, and not of a healthy run."""

import logging

import numpy as np
import pytest

from mocotf.moco.config import Config
from mocotf.training.health import MOST_RETRIES
from mocotf.training.health import PATIENCE
from mocotf.training.health import Health
from tools.gpu import cifar

HEALTHY = {"loss": 5.0, "chance": 7.0, "acc1": 50.0, "feature_std": 0.9}
FLAGS = {"lr": "0.12", "moco_m": "0.99", "moco_t": "0.2", "bn_splits": "4", "seed": "0"}
PIXELS = {"step": 0, "epoch": 0, "knn_top1": 40.0, "knn_top1_pixels": 35.0}


def make_health(on_collapse="warn", mechanism="moco", **changes):
    """Returns the health of a run of 100,000 steps, 7 an epoch, whose queue is full after 10."""
    hints = Config.of(FLAGS | {"mechanism": mechanism}).hints()
    options = {"total_steps": 100_000, "steps_per_epoch": 7, "judged_after": 10, "lr": 0.12}
    return Health(on_collapse, **options | changes, hints=hints)


def records(steps, **change):
    return [HEALTHY | change | {"step": step} for step in steps]


def said(health, each, caplog):
    """Returns what is said while a run writes records."""
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        for record in each:
            health.look(record)
    return [record.message for record in caplog.records]


@pytest.mark.parametrize(
    ("steps", "change", "message"),
    [
        (range(0, 300, 10), {"feature_std": 0.04}, "step 210: its embeddings are nearly all the"),
        (
            range(0, 300, 10),
            {"loss": 6.94},
            "step 210: its loss, 6.940, is that of chance, 7.000, since step 10:",
        ),
        (range(0, 300, 10), {"loss": 8.0}, "try --lr=0.04 or --moco_m=0.999"),
        ([2000], {"acc1": 99.5}, "try --shuffle_bn=gather --bn_splits=8"),
        ([50_000], {"knn_top1": 34.0}, "kNN 34.0 is below that of raw pixels, 35.0; try --epochs=400"),
        (range(0, 300, 10), {}, None),
        (range(0, 210, 10), {"feature_std": 0.01, "loss": 7.0}, None),  # as an encoder begins
        (range(10), {"acc1": 100.0}, None),  # negatives are noise yet
        ([90_000], {"acc1": 99.5}, None),  # late: it has learned
        ([49_000], {"knn_top1": 34.0}, None),  # early: it may learn yet
    ],
)
def test_each_warning_is_given_once_for_its_cause(caplog, steps, change, message):
    found = said(health := make_health(), [PIXELS, *records(steps, **change)], caplog)
    assert len(found) == (message is not None), found
    assert message is None or message in found[0]
    assert not health.must_act


def test_signs_count_once_the_queue_is_full_and_the_rate_warm_over_a_whole_epoch_or_more():
    def collapsed_at(**options):
        health = make_health("retry", **options)
        for record in records(range(0, 9000, 10), loss=7.0):
            health.look(record)
        return health.collapse.step

    assert collapsed_at(judged_after=10) == 10 + PATIENCE
    assert collapsed_at(judged_after=995) == 1000 + PATIENCE
    assert collapsed_at(steps_per_epoch=5004) == 20 + 5000


def test_an_encoder_that_collapses_now_and_then_is_judged_by_what_it_is_most_of_the_time():
    for period, collapsed in ((3, True), (2, None)):  # every third record is healthy, or every second
        health = make_health("retry")
        for i, record in enumerate(records(range(0, 500, 10), feature_std=0.01)):
            health.look(record | ({} if i % period else {"feature_std": 0.9}))
        assert health.must_act == bool(collapsed), period


def test_the_published_curve_of_cifar10_is_healthy(caplog):
    published = cifar.authors()
    epochs, (knn, losses) = [*published], zip(*published.values(), strict=True)
    steps = np.arange(1, 200 * 97 + 1)
    at = 97 * np.array(epochs)
    curve = [
        HEALTHY | {"step": int(s), "loss": loss, "chance": float(np.log(4097)), "knn_top1": top1}
        for s, loss, top1 in zip(
            steps, np.interp(steps, at, losses), np.interp(steps, at, knn), strict=True
        )
    ]
    health = make_health("retry", total_steps=len(steps), steps_per_epoch=97, judged_after=8)
    assert said(health, [PIXELS, *curve], caplog) == []
    assert health.collapse is None


@pytest.mark.parametrize("mechanism", ["memory_bank", "simsiam"])
def test_what_has_no_keys_or_old_ones_is_judged_by_its_embeddings_alone(caplog, mechanism):
    health = make_health(mechanism=mechanism)
    record = {"loss": -0.9} if mechanism == "simsiam" else {"loss": 7.5, "chance": 7.0, "acc1": 99.5}
    curve = [record | {"feature_std": 0.9, "step": step} for step in range(10, 400, 10)]
    assert said(health, curve, caplog) == []
    curve = [record | {"feature_std": 0.01, "step": step} for step in range(400, 600, 10)]
    assert "try --lr=0.04 or --" in said(health, curve, caplog)[0]


HEALTHY_UNTIL_300, COLLAPSED = records(range(10, 310, 10)), {"feature_std": 0.01}
COLLAPSING = [*HEALTHY_UNTIL_300, *records(range(310, 420, 10), **COLLAPSED)]
RETRY = {"step": 200, "epoch": 28, "retry": 1, "collapsed_at": 410, "lr_factor": 1 / 3}


def test_a_collapse_is_acted_on_instead_of_warned_of(caplog):
    health = make_health("retry")
    assert said(health, COLLAPSING[:-1], caplog) == [] and not health.must_act
    assert said(health, COLLAPSING[-1:], caplog) == []
    assert health.must_act and not health.exhausted
    assert health.collapse.step == 410 and health.collapse.hint.startswith("--lr=0.04 or ")
    assert RETRY | health.next_retry == RETRY
    assert health.healthy == 200  # where the last window began that was well

    health.read([*HEALTHY_UNTIL_300[:20], RETRY])
    assert health.collapse is None and (health.retries, health.lr_factor) == (1, 1 / 3)
    assert said(health, records(range(210, 400, 10), **COLLAPSED), caplog) == []
    assert not health.must_act
    health.look(records([400], **COLLAPSED)[0])
    assert health.healthy == 200
    assert health.next_retry == {"retry": 2, "collapsed_at": 400, "lr_factor": 1 / 9}
    assert health.collapse.hint.startswith("--lr=0.013 or ")


def test_after_the_last_retry_a_run_is_given_up_and_says_so():
    health = make_health("retry")
    assert health.summary() is None
    health.read([RETRY])
    assert health.summary() == "the run collapsed, and was retried once, at last with --lr=0.04"
    last = RETRY | {"retry": MOST_RETRIES, "lr_factor": 1 / 27}
    again = records(range(210, 410, 10), **COLLAPSED)
    health.read([last, *again])
    assert health.exhausted and not health.given_up
    end = HEALTHY | {"step": 401, "collapsed_at": 400}  # whatever it is like then
    health.look(end)
    assert health.given_up and "did not help: it has ended early; try --warmup" in health.summary()
    resumed = make_health("retry")
    resumed.read([last, *again, end])
    assert resumed.summary() == health.summary()


def test_a_resumed_run_is_judged_as_one_that_was_not_and_does_not_say_again_what_it_said(caplog):
    leaking = records(range(420, 440, 10), **COLLAPSED, acc1=99.5)
    curve = [PIXELS, *HEALTHY_UNTIL_300, RETRY, *COLLAPSING[20:], *leaking]
    for cut in range(len(curve)):
        whole, resumed = make_health("stop"), make_health("stop")
        first = said(whole, curve[:cut], caplog)
        second = said(whole, curve[cut:], caplog)
        resumed.read(curve[:cut])
        assert said(resumed, curve[cut:], caplog) == second
        assert len(first + second) == 1 and resumed.collapse == whole.collapse is not None


def test_what_nobody_acted_on_and_has_passed_is_no_collapse_and_neither_is_the_last_step():
    health = make_health("retry")
    health.read(COLLAPSING)
    assert health.must_act
    health.read([*COLLAPSING, *records(range(420, 600, 10))])
    assert not health.must_act
    health = make_health("retry", total_steps=410)
    health.read(COLLAPSING)
    assert not health.must_act
