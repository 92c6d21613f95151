"""Thirty steps of mocotf and of the PyTorch oracle agree."""

import keras
import pytest

from mocotf.optim.schedules import Cosine
from mocotf.optim.schedules import Milestones
from tests.measured import agree
from tests.moco.both import BATCH
from tests.moco.both import Both
from tests.moco.both import K
from tests.moco.both import differences
from tests.moco.both import relative

STEPS = 30
STEP_LR = Milestones(0.02, [10, 20])
COSINE_LR = Cosine(0.02, 40, hold=10)
CASES = {
    "v1 head": {"mlp": False, "schedule": STEP_LR},
    "v2 head": {"mlp": True, "schedule": COSINE_LR},
    "bn_splits": {"bn_splits": 4, "schedule": COSINE_LR},
    "symmetric": {"bn_splits": 2, "symmetric": True, "schedule": STEP_LR},
    "2 replicas": {"replicas": 2, "schedule": STEP_LR},
    "2 replicas, bn_splits, symmetric": {
        "replicas": 2,
        "bn_splits": 2,
        "symmetric": True,
        "schedule": COSINE_LR,
    },
    "shuffled input": {"bn_splits": 4, "shuffle": "input", "schedule": STEP_LR},
    "2 replicas, shuffled input": {"replicas": 2, "shuffle": "input", "schedule": COSINE_LR},
    "2 replicas, shuffled input, accumulation": {
        "replicas": 2,
        "shuffle": "input",
        "grad_accum_steps": 4,
        "schedule": COSINE_LR,
    },
    "accumulation": {"grad_accum_steps": 2, "bn_splits": 2, "schedule": STEP_LR},
    "2 replicas, accumulation": {"replicas": 2, "grad_accum_steps": 4, "schedule": STEP_LR},
    "accumulation, symmetric": {"grad_accum_steps": 4, "symmetric": True, "schedule": COSINE_LR},
    "2 replicas, bn_splits, accumulation, symmetric": {
        "replicas": 2,
        "bn_splits": 2,
        "grad_accum_steps": 2,
        "symmetric": True,
        "schedule": COSINE_LR,
    },
}
# Who permutes the key images, and in how many parts a batch is taken, change nothing about rounding.
EXACT_ONLY = {"shuffle", "grad_accum_steps"}
RUNS = [(c, "float64") for c in CASES]
RUNS += [(c, "float32") for c in CASES if not EXACT_ONLY & CASES[c].keys()]
EACH_STEP = {"float32": 1e-4, "float64": 1e-9}
AT_THE_END = {"float32": 1e-3, "float64": 1e-9}


def run(replicas, dtype, case):
    """Returns (largest difference of a step by quantity, differences after the last step)."""
    options = dict(CASES[case])
    strategy = replicas(options.pop("replicas", 1))
    keras.config.set_dtype_policy(dtype)
    both = Both(strategy, options.pop("schedule"), dtype=dtype, **options)
    steps = {"loss": 0.0, "logits": 0.0}
    for step in range(STEPS):
        for quantity, mine, theirs in zip(steps, *both.step(step), strict=True):
            steps[quantity] = max(steps[quantity], relative(mine, theirs))
    enqueued = STEPS * BATCH * (1 + both.symmetric)
    assert both.model.queue.pointer.numpy() == both.oracle.queue_ptr == enqueued % K
    return steps, differences(both)


@pytest.mark.parametrize(("case", "dtype"), RUNS)
def test_thirty_steps_agree_with_the_oracle(replicas, case, dtype):
    steps, end = run(replicas, dtype, case)
    for quantity, difference in steps.items():
        agree(f"step: {quantity}, each of 30 steps, {dtype}, {case}", difference, EACH_STEP[dtype])
    for quantity, difference in end.items():
        agree(f"step: {quantity} after 30 steps, {dtype}, {case}", difference, AT_THE_END[dtype])
