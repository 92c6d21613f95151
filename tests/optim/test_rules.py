"""LARS and AdamW."""

import keras
import numpy as np
import pytest
import torch

from mocotf.optim.adamw import AdamW
from mocotf.optim.lars import LARS
from mocotf.optim.lars import TRUST

SHAPES = [(4, 3), (3,)]
STEPS = 5


def problem():
    """Returns weights, and the gradients of each step."""
    rng = np.random.default_rng(0)
    return [rng.normal(size=s) for s in SHAPES], [[rng.normal(size=s) for s in SHAPES]] * STEPS


def trained(optimizer):
    """Returns the weights after all steps of an optimizer."""
    weights, gradients = problem()
    variables = [keras.Variable(w, dtype="float64") for w in weights]
    optimizer.build(variables)
    for step in gradients:
        optimizer.apply(list(map(keras.ops.convert_to_tensor, step)), variables)
    return [v.numpy() for v in variables]


def test_adamw_takes_pytorchs_steps():
    weights, gradients = problem()
    theirs = [torch.nn.Parameter(torch.from_numpy(w)) for w in weights]
    optimizer = torch.optim.AdamW(theirs, lr=0.01, betas=(0.8, 0.999), weight_decay=0.1)
    for step in gradients:
        for parameter, g in zip(theirs, step, strict=True):
            parameter.grad = torch.from_numpy(g)
        optimizer.step()
    mine = trained(AdamW(0.01, 0.8, weight_decay=0.1))
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(a, b.detach().numpy(), rtol=1e-6)


def test_lars_takes_the_step_of_its_definition():
    weights, gradients = problem()
    velocities = [np.zeros(s) for s in SHAPES]
    for step in gradients:
        for i, g in enumerate(step):
            w = weights[i]
            if w.ndim > 1:
                d = g + 0.1 * w
                g = TRUST * np.linalg.norm(w) / np.linalg.norm(d) * d
            velocities[i] = 0.8 * velocities[i] + g
            weights[i] = w - 0.5 * velocities[i]
    mine = trained(LARS(0.5, 0.8, weight_decay=0.1))
    for a, b in zip(mine, weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize("rule", [LARS, AdamW])
def test_zeros_stay_where_nothing_pulls_them(rule):
    variable = keras.Variable(np.zeros((2, 2)))
    optimizer = rule(0.1, weight_decay=0.1)
    optimizer.build([variable])
    optimizer.apply([keras.ops.zeros((2, 2))], [variable])
    np.testing.assert_array_equal(variable.numpy(), 0)
