"""Steps of the other mechanisms and of their PyTorch oracles agree."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

from mocotf.interop.torch_names import read_state
from mocotf.interop.torch_names import write_state
from mocotf.moco.bank import Bank
from mocotf.moco.bank import draw_rows
from mocotf.moco.end_to_end import EndToEnd
from mocotf.moco.memory_bank import MemoryBank
from mocotf.moco.npid import NPID
from mocotf.moco.shuffle import permutation
from mocotf.nn.encoder import build_encoder
from mocotf.optim.schedules import Cosine
from mocotf.optim.sgd import SGD
from tests.measured import agree
from tests.moco.both import BATCH
from tests.moco.both import DIM
from tests.moco.both import ENCODER
from tests.moco.both import SEED
from tests.moco.both import SIDE
from tests.moco.both import WEIGHT_DECAY
from tests.moco.both import T
from tests.moco.both import make_network
from tests.moco.both import relative
from tests.moco.both import to_numpy
from tests.oracles import torch_mechanisms

STEPS = 15
SCHEDULE = Cosine(0.02, 20, hold=5)
IMAGES, K = 83, 24  # no multiple of two replicas: shards are of unequal length
# Of losses, which are reported as float32; at the end.
TOLERANCE = {"float32": (1e-4, 1e-3), "float64": (1e-6, 1e-9)}


class Sides:
    """A mechanism and its oracle, begun alike."""

    def __init__(self, strategy, dtype, bn_splits):
        self.strategy = strategy
        self.dtype = dtype
        self.replicas = strategy.num_replicas_in_sync
        self.encoder = ENCODER | {"mlp": True, "bn_splits": bn_splits}
        self.network = make_network(dtype, self.replicas, bn_splits)

    def compile(self, make):
        """Makes the model by `make()`, in the strategy's scope."""
        with self.strategy.scope():
            self.model = make()
            write_state(self.model.query_encoder, to_numpy(self.network.state_dict()))
            self.model.start_keys()
            self.model.compile(SGD(SCHEDULE, weight_decay=WEIGHT_DECAY), jit_compile=False)
            self.model.optimizer.build(self.model.learned)
        run = tf.function(lambda batch: self.strategy.run(self.model.train_step, args=(batch,)))
        self._run = run

    def step(self, *batch):
        """Takes a step on arrays of the global batch; returns what it reports, means over replicas."""
        share = BATCH // self.replicas

        def own(context):
            r = context.replica_id_in_sync_group
            return tuple(tf.constant(x[r * share : (r + 1) * share]) for x in batch)

        logs = self._run(self.strategy.experimental_distribute_values_from_function(own))
        local = self.strategy.experimental_local_results
        return {name: np.mean([x.numpy() for x in local(log)]) for name, log in logs.items()}

    def images(self, rng, *shape):
        """Returns random images, `[*shape, SIDE, SIDE, 3]`."""
        return rng.normal(size=(*shape, SIDE, SIDE, 3)).astype(self.dtype)


def torch_images(x):
    return torch.from_numpy(x.transpose(0, 3, 1, 2).copy())


def unit_rows(seed, dtype):
    rows = np.random.default_rng(seed).normal(size=(IMAGES, DIM))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(dtype)


def assert_agree(case, dtype, losses, encoders, bank=None):
    """Compares losses `[steps, 2]`, (name, encoder, network) and (entries, the oracle's)."""
    each, end = TOLERANCE[dtype]
    worst = max(relative(mine, theirs) for mine, theirs in np.array(losses))
    agree(f"{case}: loss, each of {STEPS} steps, {dtype}", worst, each)
    for name, encoder, network in encoders:
        theirs = to_numpy(network.state_dict())
        worst = max(relative(value, theirs[key]) for key, value in read_state(encoder).items())
        agree(f"{case}: {name} and BN statistics after {STEPS} steps, {dtype}", worst, end)
    if bank:
        agree(f"{case}: bank after {STEPS} steps, {dtype}", relative(*bank), end)


END_TO_END = {
    "end_to_end": {},
    "end_to_end, bn_splits, symmetric": {"bn_splits": 2, "symmetric": True},
    "end_to_end, 2 replicas": {"count": 2},
    "end_to_end, 2 replicas, bn_splits, symmetric": {"count": 2, "bn_splits": 2, "symmetric": True},
    "end_to_end, 2 replicas, shuffled input": {"count": 2, "shuffle": "input"},
}
RUNS = [(case, "float64") for case in END_TO_END]


@pytest.mark.parametrize(("case", "dtype"), [*RUNS, ("end_to_end, 2 replicas", "float32")])
def test_end_to_end_agrees_with_the_oracle(replicas, case, dtype):
    keras.config.set_dtype_policy(dtype)
    options = END_TO_END[case] | {"dtype": dtype}
    count, bn_splits = options.pop("count", 1), options.pop("bn_splits", 1)
    sides = Sides(replicas(count), options.pop("dtype"), bn_splits)
    symmetric = options.get("symmetric", False)
    sides.compile(
        lambda: EndToEnd(
            *(build_encoder(**sides.encoder) for _ in range(2)), N=BATCH, T=T, seed=SEED, **options
        )
    )
    oracle = torch_mechanisms.EndToEndOracle(
        sides.network, T=T, weight_decay=WEIGHT_DECAY, symmetric=symmetric
    )
    losses = []
    for step in range(STEPS):
        x_q, x_k = sides.images(np.random.default_rng(step), 2, BATCH)
        orders = [permutation(SEED, step, d, BATCH).numpy() for d in range(2)]
        theirs, _ = oracle.step(
            torch_images(x_q),
            torch_images(x_k),
            float(SCHEDULE(step)),
            orders if symmetric else orders[0],
        )
        mine = sides.step(x_q, x_k[orders[0]] if options.get("shuffle") == "input" else x_k)
        losses.append((mine["loss"], float(theirs)))
    encoders = [
        ("θq", sides.model.query_encoder, oracle.encoder_q),
        ("θk", sides.model.key_encoder, oracle.encoder_k),
    ]
    assert_agree(case, dtype, losses, encoders)


BANKS = {
    "memory_bank": {"bank_m": 0.5},
    "memory_bank, 2 replicas, bn_splits": {"bank_m": 0.5, "count": 2, "bn_splits": 2},
    "memory_bank, 2 replicas, sharded": {"bank_m": 0.5, "count": 2, "sharded": True},
    "npid": {"proximal": 30.0, "bank_m": 0.0},
    "npid without proximal term, with momentum": {"proximal": 0.0, "bank_m": 0.5},
    "npid, 2 replicas": {"proximal": 3.0, "bank_m": 0.0, "count": 2},
    "npid, 2 replicas, sharded": {"proximal": 3.0, "bank_m": 0.5, "count": 2, "sharded": True},
    "npid, full softmax": {"proximal": 3.0, "bank_m": 0.5, "softmax": "full"},
    "npid, full softmax, 2 replicas": {"proximal": 3.0, "bank_m": 0.0, "softmax": "full", "count": 2},
}
RUNS = [(case, "float64") for case in BANKS]
RUNS += [(case, "float32") for case in ("memory_bank", "npid", "npid, full softmax")]


@pytest.mark.parametrize(("case", "dtype"), RUNS)
def test_mechanisms_with_a_bank_agree_with_the_oracle(replicas, case, dtype):
    keras.config.set_dtype_policy(dtype)
    options = dict(BANKS[case])
    count, bn_splits = options.pop("count", 1), options.pop("bn_splits", 1)
    shards = count if options.pop("sharded", False) else 1
    m, softmax = options["bank_m"], options.get("softmax")
    proximal = options.get("proximal")
    sides = Sides(replicas(count), dtype, bn_splits)
    entries = unit_rows(1, dtype)

    def make():
        bank = Bank(IMAGES, DIM, m=m, seed=SEED, dtype=tf.as_dtype(dtype), replicas=shards)
        bank.variable.assign(entries)
        common = {"bank": bank, "K": None if softmax == "full" else K, "T": T, "seed": SEED}
        encoder = build_encoder(**sides.encoder)
        if proximal is None:
            return MemoryBank(encoder, **common)
        return NPID(encoder, proximal=proximal, **common)

    sides.compile(make)
    kind = "MemoryBank" if proximal is None else "NPID"
    oracle = getattr(torch_mechanisms, f"{kind}Oracle")(
        sides.network, torch.from_numpy(entries), T=T, weight_decay=WEIGHT_DECAY, **options
    )
    losses = []
    for step in range(STEPS):
        rng = np.random.default_rng(step)
        x, rows = sides.images(rng, BATCH), rng.permutation(IMAGES)[:BATCH]
        rows[1] = rows[0]  # as where a broken image is replaced by its neighbour
        x[1] = x[0]
        shape = [K] if proximal is None else [BATCH, K]
        negatives = None if softmax == "full" else draw_rows(SEED, step, shape, IMAGES).numpy()
        theirs, _ = oracle.step(torch_images(x), rows, negatives, float(SCHEDULE(step)))
        mine = sides.step(x, rows)
        losses.append((mine["loss"] + mine.get("proximal", 0), float(theirs)))
    bank = sides.model.bank.variable.numpy(), oracle.bank.numpy()
    assert_agree(case, dtype, losses, [("θ", sides.model.query_encoder, oracle.encoder)], bank)
