"""The learning-rate curve of every recipe at every epoch, against the published formulas."""

import numpy as np
import pytest

from mocotf.optim.schedules import Cosine
from mocotf.optim.schedules import Exponential
from mocotf.optim.schedules import Milestones
from mocotf.optim.schedules import WarmUp
from tests.oracles import schedules as published

STEPS = 7  # an epoch


def every_step(schedule, epochs):
    return np.array([schedule(step).numpy() for step in range(epochs * STEPS)])


def per_epoch(rates):
    return np.repeat(rates, STEPS)


def test_v1_falls_to_a_tenth_at_epochs_120_and_160():
    rates = every_step(Milestones(0.03, [120 * STEPS, 160 * STEPS]), 200)
    expected = per_epoch([published.step_per_epoch(e, 0.03) for e in range(200)])
    np.testing.assert_allclose(rates, expected, rtol=1e-14)


@pytest.mark.parametrize(("lr", "epochs"), [(0.03, 200), (0.03, 800), (0.06, 200)])
def test_v2_and_cifar_follow_the_cosine_once_an_epoch(lr, epochs):
    schedule = Cosine(lr, epochs * STEPS, hold=STEPS)
    rates = [schedule(epoch * STEPS + STEPS - 1).numpy() for epoch in range(epochs)]
    expected = [published.cosine_per_epoch(e, lr, epochs) for e in range(epochs)]
    np.testing.assert_allclose(rates, expected, rtol=1e-10, atol=1e-17)
    np.testing.assert_allclose(schedule(0), lr)


def test_the_cosine_per_step_moves_every_step():
    rates = every_step(Cosine(0.03, 20 * STEPS), 20)
    expected = [published.cosine_per_step(s, 0.03, 20 * STEPS) for s in range(20 * STEPS)]
    np.testing.assert_allclose(rates, expected, rtol=1e-10)


@pytest.mark.parametrize("drops", [0, 1, 2, 19])
def test_ig1b_falls_to_nine_tenths_at_step_boundaries(drops):
    schedule = Exponential(0.12, 62_500, 0.9)
    boundary = drops * 62_500
    for step in (boundary, boundary + 62_499):
        np.testing.assert_allclose(schedule(step), published.exponential(step, 0.12), rtol=1e-13)
    np.testing.assert_allclose(schedule(boundary), 0.12 * 0.9**drops, rtol=1e-13)


def test_warm_up_rises_linearly_to_the_schedule_it_scales():
    rates = every_step(WarmUp(Cosine(0.1, 20 * STEPS, STEPS), 5 * STEPS), 20)
    expected = [
        published.linear_warmup(s, published.cosine_per_epoch(s // STEPS, 0.1, 20), 5 * STEPS)
        for s in range(20 * STEPS)
    ]
    np.testing.assert_allclose(rates, expected, rtol=1e-10)
