"""Warnings are given once, for what they are for, and not of a healthy run."""

import logging

import pytest

from mocotf.moco.config import MECHANISMS
from mocotf.training.warnings import HealthWarnings

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
def test_each_warning_is_given_once_for_its_cause(caplog, step, change, message):
    warnings = HealthWarnings(100_000, steps_to_fill=10, hints=MECHANISMS["moco"].HINTS)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            warnings.look(HEALTHY | change | {"step": step})
    assert len(caplog.records) == (message is not None)
    assert message is None or message in caplog.text


@pytest.mark.parametrize(
    ("mechanism", "record"),
    [
        ("memory_bank", HEALTHY | {"step": 2000, "loss": 7.5, "acc1": 99.5}),
        ("simsiam", {"step": 2000, "loss": -0.9, "feature_std": 0.9}),
    ],
)
def test_what_has_no_keys_or_old_ones_is_warned_of_collapse_only(caplog, mechanism, record):
    warnings = HealthWarnings(100_000, steps_to_fill=10, hints=MECHANISMS[mechanism].HINTS)
    with caplog.at_level(logging.WARNING):
        warnings.look(record)
        assert not caplog.records
        warnings.look(record | {"feature_std": 0.01})
    assert "collapses; look at --lr" in caplog.text
