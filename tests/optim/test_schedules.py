"""The learning-rate curve of every recipe at every epoch, against the published formulas."""

import functools

import numpy as np
import pytest

from mocotf.optim.schedules import Ahead
from mocotf.optim.schedules import Cosine
from mocotf.optim.schedules import Exponential
from mocotf.optim.schedules import Milestones
from mocotf.optim.schedules import WarmUp
from tests.oracles import schedules as published

STEPS = 7  # an epoch


def assert_follows(schedule, formula, steps, rtol=1e-10):
    rates = [schedule(step).numpy() for step in steps]
    np.testing.assert_allclose(rates, [formula(step) for step in steps], rtol=rtol)


def test_v1_falls_to_a_tenth_at_epochs_120_and_160():
    schedule, steps = Milestones(0.03, [120 * STEPS, 160 * STEPS]), range(200 * STEPS)
    assert_follows(schedule, lambda s: published.step_per_epoch(s // STEPS, 0.03), steps, rtol=1e-14)


@pytest.mark.parametrize(("lr", "epochs"), [(0.03, 200), (0.03, 800), (0.06, 200)])
def test_v2_and_cifar_follow_the_cosine_once_an_epoch(lr, epochs):
    schedule = Cosine(lr, epochs * STEPS, hold=STEPS)
    last_steps = range(STEPS - 1, epochs * STEPS, STEPS)
    assert_follows(schedule, lambda s: published.cosine_per_epoch(s // STEPS, lr, epochs), last_steps)
    np.testing.assert_allclose(schedule(0), lr)


def test_the_cosine_per_step_moves_every_step():
    total = 20 * STEPS
    formula = functools.partial(published.cosine_per_step, lr=0.03, total_steps=total)
    assert_follows(Cosine(0.03, total), formula, range(total))


@pytest.mark.parametrize("drops", [0, 1, 2, 19])
def test_ig1b_falls_to_nine_tenths_at_step_boundaries(drops):
    schedule, boundary = Exponential(0.12, 62_500, 0.9), drops * 62_500
    formula = functools.partial(published.exponential, lr=0.12)
    assert_follows(schedule, formula, (boundary, boundary + 62_499), rtol=1e-13)
    np.testing.assert_allclose(schedule(boundary), 0.12 * 0.9**drops, rtol=1e-13)


def test_warm_up_rises_linearly_to_the_schedule_it_scales():
    def formula(step):
        rate = published.cosine_per_epoch(step // STEPS, 0.1, 20)
        return published.linear_warmup(step, rate, 5 * STEPS)

    assert_follows(WarmUp(Cosine(0.1, 20 * STEPS, STEPS), 5 * STEPS), formula, range(20 * STEPS))


@pytest.mark.parametrize("steps", [50, 97, 100, 150, 500, 1000])
def test_a_cosine_that_counts_from_1_never_rises_again(steps):
    schedule = Ahead(Cosine(0.06, steps, 97), 97)
    rates = [float(schedule(step)) for step in range(steps)]
    assert rates == sorted(rates, reverse=True) and rates[-1] >= 0
