"""A run that goes on with another number of replicas computes what it would have."""

import keras
import numpy as np
import pytest

from mocotf.training.checkpoints import Checkpoints
from mocotf.training.state import STATISTICS
from mocotf.training.state import state_of
from tests.moco import test_mechanisms as mechanisms

GROUPS, BEGUN, STEPS = 4, 2, 20
# What a model has may differ by, relative and absolute, after STEPS; a bank is kept in float32 at best.
TOLERANCES = {"float64": (1e-9, 1e-12), "float32": (1e-3, 1e-5)}
BANKS = ("memory_bank", "npid")
CASES = [
    ("moco", {}, 1, 2),
    ("moco", {"symmetric": True}, 4, 1),
    ("moco", {"shuffle_bn": "input"}, 2, 4),
    ("moco", {"shuffle_bn": "off", "grad_accum_steps": 2}, 2, 1),
    ("end_to_end", {}, 4, 2),
    ("memory_bank", {}, 2, 1),
    ("memory_bank", {"shard_bank": True}, 2, 4),
    ("npid", {}, 1, 4),
    ("simclr", {}, 1, 2),
    ("simsiam", {}, 2, 4),
]
RUNS = [CASES[0], *(pytest.param(*case, marks=pytest.mark.slow) for case in CASES[1:])]


def make_model(strategy, mechanism, options):
    """Returns a model whose global batch has GROUPS groups."""
    own = {"mechanism": mechanism, "bn_splits": GROUPS // strategy.num_replicas_in_sync}
    return mechanisms.make_model(strategy, **own, **options)


def of_replicas(variable):
    """Returns the values that the replicas have of a variable of Keras's, one after another."""
    value = variable.value
    return [part.numpy() for part in getattr(value, "values", [value])]


@pytest.mark.parametrize(("mechanism", "options", "before", "after"), RUNS)
def test_another_number_of_replicas_changes_nothing(
    replicas, tmp_path, mechanism, options, before, after
):
    dtype = "float32" if mechanism in BANKS else "float64"
    keras.config.set_dtype_policy(dtype)
    model = make_model(replicas(before), mechanism, options)
    mechanisms.train(model, 0, BEGUN)
    checkpoints = Checkpoints(str(tmp_path), model)
    checkpoints.save()
    checkpoints.restore()  # as an unchanged run is resumed: all replicas with the first's statistics

    other = make_model(replicas(after), mechanism, options)
    assert Checkpoints(str(tmp_path), other).restore() == BEGUN
    losses = [mechanisms.train(one, BEGUN, BEGUN + STEPS)["loss"] for one in (model, other)]
    np.testing.assert_allclose(losses[0][0], losses[1][0], rtol=1e-6)
    rtol, atol = TOLERANCES[dtype]
    there, here = state_of(model), state_of(other)
    for name, variable in there.items():
        a, b = variable.numpy(), here[name].numpy()
        if name.endswith(STATISTICS) and model.A > 1:
            continue  # follow micro-batches, which are others
        if name.endswith(STATISTICS):  # each replica's own, of its groups: all groups' in the mean
            a, b = (np.mean(of_replicas(v), axis=0) for v in (variable, here[name]))
        np.testing.assert_allclose(a, b, rtol, atol, err_msg=name)
