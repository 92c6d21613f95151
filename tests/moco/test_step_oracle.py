"""Steps of mocotf and of the PyTorch oracle agree."""

from pathlib import Path

import keras
import pytest

from tests.measured import agree
from tests.moco import both
from tests.moco.both import cosine
from tests.moco.both import milestones

CASES = {
    "v1 head": {"mlp": False, "schedule": milestones},
    "v2 head": {"schedule": cosine},
    "bn_splits": {"bn_splits": 4, "schedule": cosine},
    "symmetric": {"bn_splits": 2, "symmetric": True, "schedule": milestones},
    "2 replicas": {"replicas": 2, "schedule": milestones},
    "2 replicas, bn_splits, symmetric": {
        "replicas": 2, "bn_splits": 2, "symmetric": True, "schedule": cosine,
    },
    "shuffled input": {"bn_splits": 4, "shuffle": "input", "schedule": milestones},
    "2 replicas, shuffled input": {"replicas": 2, "shuffle": "input", "schedule": cosine},
    "2 replicas, shuffled input, accumulation": {
        "replicas": 2, "shuffle": "input", "grad_accum_steps": 4, "schedule": cosine,
    },
    "accumulation": {"grad_accum_steps": 2, "bn_splits": 2, "schedule": milestones},
    "2 replicas, accumulation": {"replicas": 2, "grad_accum_steps": 4, "schedule": milestones},
    "accumulation, symmetric": {"grad_accum_steps": 4, "symmetric": True, "schedule": cosine},
    "2 replicas, bn_splits, accumulation, symmetric": {
        "replicas": 2, "bn_splits": 2, "grad_accum_steps": 2, "symmetric": True, "schedule": cosine,
    },
}  # fmt: skip
# Who permutes the key images, and in how many parts a batch is taken, change nothing about rounding.
EXACT_ONLY = {"shuffle", "grad_accum_steps"}
# Of which other cases have each value, and each pair that meets in one place.
COVERED = {"bn_splits", "2 replicas, bn_splits, symmetric", "2 replicas, shuffled input"}
COVERED |= {"2 replicas, accumulation", "accumulation, symmetric"}
RUNS = [(c, "float64") for c in CASES]
RUNS += [(c, "float32") for c in CASES if not EXACT_ONLY & CASES[c].keys()]
EACH_STEP = {"float32": 1e-4, "float64": 1e-9}
AT_THE_END = {"float32": 1e-3, "float64": 1e-9}


def run(replicas, scale, dtype, case):
    """Returns (largest difference of a step by quantity, differences after the last step)."""
    options = dict(CASES[case])
    strategy = replicas(options.pop("replicas", 1))
    keras.config.set_dtype_policy(dtype)
    sides = both.Both(strategy, scale, options.pop("schedule")(scale.steps), dtype=dtype, **options)
    steps = {"loss": 0.0, "logits": 0.0}
    for step in range(scale.steps):
        for quantity, mine, theirs in zip(steps, *sides.step(step), strict=True):
            steps[quantity] = max(steps[quantity], both.relative(mine, theirs))
    enqueued = scale.steps * scale.batch * (1 + sides.model.symmetric)
    assert sides.model.queue.pointer.numpy() == sides.oracle.queue_ptr == enqueued % scale.K
    return steps, both.differences(sides)


@pytest.mark.parametrize("case", [case for case in CASES if case not in COVERED])
def test_a_few_steps_of_a_small_encoder_agree_with_the_oracle(replicas, case):
    for found in run(replicas, both.QUICK, "float64", case):
        for quantity, difference in found.items():
            agree(f"step: {quantity}, of all cases, a few steps of one block", difference, 1e-9)


@pytest.mark.parametrize("case", ["bn_splits", "2 replicas, bn_splits, symmetric"])
def test_a_backbone_of_kerass_own_layers_agrees_with_the_oracle(replicas, case):
    for found in run(replicas, both.QUICK._replace(stock=True), "float64", case):
        for quantity, difference in found.items():
            agree(f"step: {quantity}, of Keras's own layers", difference, 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(("case", "dtype"), RUNS)
def test_thirty_steps_agree_with_the_oracle(replicas, case, dtype):
    steps, end = run(replicas, both.FULL, dtype, case)
    for quantity, difference in steps.items():
        agree(f"step: {quantity}, each of 30 steps, {dtype}, {case}", difference, EACH_STEP[dtype])
    for quantity, difference in end.items():
        agree(f"step: {quantity} after 30 steps, {dtype}, {case}", difference, AT_THE_END[dtype])


def test_the_published_table_has_every_case():
    table = (Path(__file__).parents[2] / "docs/reference/fidelity.md").read_text()
    assert all(f"| step: queue after 30 steps, {dtype}, {case} |" in table for case, dtype in RUNS)
