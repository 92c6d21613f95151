"""Alarms are raised once, for what they are for, and not by a healthy run."""

import logging

import pytest

from mocotf.moco.mechanism import Mechanism
from mocotf.moco.memory_bank import MemoryBank
from mocotf.training.alarms import Alarms

HEALTHY = {"loss": 5.0, "chance": 7.0, "acc1": 50.0, "feature_std": 0.9}


@pytest.mark.parametrize(
    ("step", "change", "message"),
    [
        (2000, {"feature_std": 0.01}, "collapses"),
        (2000, {"acc1": 99.5}, "leak through batch norm"),
        (2000, {"loss": 6.95}, "still that of chance"),
        (2000, {}, None),
        (9, {"feature_std": 0.01, "acc1": 100.0, "loss": 7.0}, None),  # negatives are noise yet
        (900, {"loss": 7.0}, None),  # too early
        (90_000, {"acc1": 99.5}, None),  # late: it has learned
    ],
)
def test_each_alarm_is_raised_once_for_its_cause(caplog, step, change, message):
    alarms = Alarms(total_steps=100_000, steps_to_fill=10, cures=Mechanism.CURES)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            alarms.look(HEALTHY | change | {"step": step})
    assert len(caplog.records) == (message is not None)
    assert message is None or message in caplog.text


def test_a_bank_may_be_above_chance_but_not_collapse(caplog):
    alarms = Alarms(total_steps=100_000, steps_to_fill=10, cures=MemoryBank.CURES)
    with caplog.at_level(logging.WARNING):
        alarms.look(HEALTHY | {"step": 2000, "loss": 7.5, "acc1": 99.5})
        assert not caplog.records
        alarms.look(HEALTHY | {"step": 2000, "feature_std": 0.01})
    assert "collapses" in caplog.text
