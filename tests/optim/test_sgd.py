"""SGD against torch.optim.SGD."""

import keras
import numpy as np
import torch

from mocotf.optim.schedules import Milestones
from mocotf.optim.sgd import SGD


def test_is_torchs_rule_through_a_drop_of_the_learning_rate():
    keras.config.set_dtype_policy("float64")
    rng = np.random.default_rng(0)
    start = rng.normal(size=7)
    schedule = Milestones(0.1, [4])
    ours = keras.Variable(start, dtype="float64")
    optimizer = SGD(schedule, momentum=0.9, weight_decay=0.05)
    theirs = torch.nn.Parameter(torch.from_numpy(start.copy()))
    reference = torch.optim.SGD([theirs], lr=0.1, momentum=0.9, weight_decay=0.05)
    for step in range(10):
        gradient = rng.normal(size=7)
        optimizer.apply_gradients([(keras.ops.convert_to_tensor(gradient), ours)])
        reference.param_groups[0]["lr"] = float(schedule(step))
        theirs.grad = torch.from_numpy(gradient)
        reference.step()
        np.testing.assert_allclose(ours.numpy(), theirs.detach().numpy(), rtol=1e-12)
    velocity = reference.state[theirs]["momentum_buffer"].numpy()
    np.testing.assert_allclose(optimizer.slots["velocity"][0].numpy(), velocity, rtol=1e-12)


def test_the_factor_of_a_run_is_of_all_rates_and_of_no_checkpoint():
    keras.config.set_dtype_policy("float64")
    both = [keras.Variable(np.ones(3), dtype="float64", name=name) for name in ("free", "fixed")]
    optimizer = SGD(0.3, momentum=0.0, fixed_lr={"fixed": 0.6})
    optimizer.build(both)
    assert not any("factor" in variable.path for variable in optimizer.variables)
    optimizer.lr_factor.assign(0.5)
    optimizer.apply_gradients([(keras.ops.ones(3, "float64"), variable) for variable in both])
    for variable, expected in zip(both, (0.85, 0.7), strict=True):
        np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-6)
