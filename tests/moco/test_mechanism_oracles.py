"""Steps of the other mechanisms and of their PyTorch oracles agree."""

import types

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
from mocotf.moco.simclr import SimCLR
from mocotf.moco.simsiam import SimSiam
from mocotf.optim.sgd import SGD
from tests.measured import agree
from tests.moco import both
from tests.moco.both import DIM
from tests.moco.both import QUICK
from tests.moco.both import SEED
from tests.moco.both import WEIGHT_DECAY
from tests.moco.both import T
from tests.oracles import torch_mechanisms
from tests.oracles.small import to_torch

K = 24
FULL = both.FULL._replace(steps=15)
# Of losses, which are reported as float32; at the end.
TOLERANCE = {"float32": (1e-4, 1e-3), "float64": (1e-6, 1e-9)}


# Of which other cases have each value, and each pair that meets in one place.
COVERED = {"end_to_end, bn_splits, symmetric", "npid, 2 replicas", "npid, full softmax"}


class Sides:
    """A mechanism and its oracle, begun alike."""

    def __init__(self, strategy, scale, dtype, bn_splits):
        self.strategy, self.scale, self.dtype = strategy, scale, dtype
        self.schedule = both.cosine(scale.steps)
        self.encoder = {"dim": DIM, "mlp": True, "bn_splits": bn_splits}
        self.network = both.make_network(scale, dtype, strategy.num_replicas_in_sync, bn_splits)

    def compile(self, make):
        """Makes the model by `make()`, in the strategy's scope."""
        with self.strategy.scope():
            self.model = make()
            write_state(self.model.query_encoder, both.to_numpy(self.network.state_dict()))
            self.model.start_keys()
            fixed = dict.fromkeys(self.model.FIXED_LR, self.schedule.lr)
            sgd = SGD(self.schedule, weight_decay=WEIGHT_DECAY, fixed_lr=fixed)
            self.model.compile(sgd, jit_compile=False)
        run = self.strategy.run
        self._run = tf.function(lambda x: run(self.model.train_step, args=(x,)), autograph=False)

    def step(self, *batch):
        """Takes a step on arrays of the global batch; returns what it reports, means over replicas."""
        logs = self._run(both.distributed(self.strategy, *batch))
        local = self.strategy.experimental_local_results
        return {name: np.mean([x.numpy() for x in local(log)]) for name, log in logs.items()}

    def images(self, rng, *shape):
        """Returns random images, `[*shape, side, side, 3]`."""
        return rng.normal(size=(*shape, self.scale.side, self.scale.side, 3)).astype(self.dtype)


def assert_agree(case, scale, dtype, losses, encoders, bank=None):
    """Compares losses `[steps, 2]`, (name, encoder, network) and (entries, the oracle's)."""
    each, end = TOLERANCE[dtype]
    steps = f"{scale.steps} steps, {dtype}"
    if scale is QUICK:  # one line of the table for all cases
        case, steps = "mechanisms", "a few steps of one block"
    worst = max(both.relative(mine, theirs) for mine, theirs in np.array(losses))
    agree(f"{case}: loss, each of {steps}", worst, each)
    for name, encoder, network in encoders:
        theirs = both.to_numpy(network.state_dict())
        worst = max(both.relative(value, theirs[key]) for key, value in read_state(encoder).items())
        agree(f"{case}: {name} and BN statistics after {steps}", worst, end)
    if bank:
        agree(f"{case}: bank after {steps}", both.relative(*bank), end)


def runs(cases, float32):
    """Returns the runs of a test: cases small, every one in full, some in full in float32 too."""
    param = pytest.param
    full = [(case, "float64") for case in cases] + [(case, "float32") for case in float32]
    quick = [param(case, QUICK, "float64", id=case) for case in cases if case not in COVERED]
    slow = [param(c, FULL, d, id=f"{c}-full-{d}", marks=pytest.mark.slow) for c, d in full]
    return pytest.mark.parametrize(("case", "scale", "dtype"), quick + slow)


END_TO_END = {
    "end_to_end": {},
    "end_to_end, bn_splits, symmetric": {"bn_splits": 2, "symmetric": True},
    "end_to_end, 2 replicas": {"count": 2},
    "end_to_end, 2 replicas, bn_splits, symmetric": {"count": 2, "bn_splits": 2, "symmetric": True},
    "end_to_end, 2 replicas, shuffled input": {"count": 2, "shuffle": "input"},
}


@runs(END_TO_END, float32=["end_to_end, 2 replicas"])
def test_end_to_end_agrees_with_the_oracle(replicas, case, scale, dtype):
    keras.config.set_dtype_policy(dtype)
    options, N = dict(END_TO_END[case]), scale.batch
    count, bn_splits = options.pop("count", 1), options.pop("bn_splits", 1)
    sides = Sides(replicas(count), scale, dtype, bn_splits)
    symmetric = options.get("symmetric", False)

    def make():
        return EndToEnd(scale.backbone, N=N, T=T, seed=SEED, **sides.encoder, **options)

    sides.compile(make)
    common = {"T": T, "weight_decay": WEIGHT_DECAY}
    oracle = torch_mechanisms.EndToEndOracle(sides.network, symmetric=symmetric, **common)
    losses = []
    for step in range(scale.steps):
        x_q, x_k = sides.images(np.random.default_rng(step), 2, N)
        orders = [permutation(SEED, step, d, N).numpy() for d in range(2)]
        mine = sides.step(x_q, x_k[orders[0]] if options.get("shuffle") == "input" else x_k)
        orders = orders if symmetric else orders[0]
        theirs, _ = oracle.step(to_torch(x_q), to_torch(x_k), float(sides.schedule(step)), orders)
        losses.append((mine["loss"], float(theirs)))
    assert_agree(case, scale, dtype, losses, both.encoders_of(sides.model, oracle))


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


@runs(BANKS, float32=["memory_bank", "npid", "npid, full softmax"])
def test_mechanisms_with_a_bank_agree_with_the_oracle(replicas, case, scale, dtype):
    keras.config.set_dtype_policy(dtype)
    options = dict(BANKS[case])
    count, bn_splits = options.pop("count", 1), options.pop("bn_splits", 1)
    shards = count if options.pop("sharded", False) else 1
    full, proximal = options.get("softmax") == "full", options.get("proximal")
    N, images = scale.batch, scale.images
    sides = Sides(replicas(count), scale, dtype, bn_splits)
    entries = np.random.default_rng(1).normal(size=(images, DIM))
    entries = (entries / np.linalg.norm(entries, axis=1, keepdims=True)).astype(dtype)

    def make():
        kept = {"m": options["bank_m"], "dtype": tf.as_dtype(dtype)}
        bank = Bank(images, DIM, seed=SEED, replicas=shards, **kept)
        bank.variable.assign(entries)
        common = {"bank": bank, "K": None if full else K, "T": T, "seed": SEED} | sides.encoder
        if proximal is None:
            return MemoryBank(scale.backbone, **common)
        return NPID(scale.backbone, proximal=proximal, **common)

    sides.compile(make)
    kind = torch_mechanisms.MemoryBankOracle if proximal is None else torch_mechanisms.NPIDOracle
    bank = torch.from_numpy(entries)
    oracle = kind(sides.network, bank, T=T, weight_decay=WEIGHT_DECAY, **options)
    losses = []
    for step in range(scale.steps):
        rng = np.random.default_rng(step)
        x, rows = sides.images(rng, N), rng.permutation(images)[:N]
        rows[1] = rows[0]  # as where a broken image is replaced by its neighbour
        x[1] = x[0]
        shape = [K] if proximal is None else [N, K]
        negatives = None if full else draw_rows(SEED, step, shape, images).numpy()
        theirs, _ = oracle.step(to_torch(x), rows, negatives, float(sides.schedule(step)))
        mine = sides.step(x, rows)
        losses.append((mine["loss"] + mine.get("proximal", 0), float(theirs)))
    bank = sides.model.bank.variable.numpy(), oracle.bank.numpy()
    assert_agree(case, scale, dtype, losses, [("θ", sides.model.query_encoder, oracle.encoder)], bank)


@runs({"simclr": 1, "simclr, 2 replicas": 2}, float32=["simclr"])
def test_simclr_agrees_with_the_oracle(replicas, case, scale, dtype):
    keras.config.set_dtype_policy(dtype)
    sides = Sides(replicas(2 if "2 replicas" in case else 1), scale, dtype, 1)
    sides.network = both.make_network(scale, dtype, 1, 1)
    common = {"T": T, "weight_decay": WEIGHT_DECAY}
    oracle = torch_mechanisms.SimCLROracle(sides.network, **common)
    sides.compile(lambda: SimCLR(scale.backbone, N=scale.batch, T=T, dim=DIM, mlp=True))
    losses = []
    for step in range(scale.steps):
        views = sides.images(np.random.default_rng(step), 2, scale.batch)
        loss = oracle.step(*map(to_torch, views), float(sides.schedule(step)))
        losses.append((sides.step(*views)["loss"], float(loss)))
    encoders = [("θ", sides.model.query_encoder, oracle.encoder)]
    assert_agree(case, scale, dtype, losses, encoders)


@runs({"simsiam": 1, "simsiam, 2 replicas": 2}, float32=[])
def test_simsiam_agrees_with_the_oracle(replicas, case, scale, dtype):
    keras.config.set_dtype_policy(dtype)
    sides = Sides(replicas(2 if "2 replicas" in case else 1), scale, dtype, 1)
    sides.network = both.make_network(scale, dtype, 1, 1, mlp=False)
    oracle = torch_mechanisms.SimSiamOracle(
        sides.network, hidden=5, lr=sides.schedule.lr, weight_decay=WEIGHT_DECAY
    )
    sides.compile(lambda: SimSiam(scale.backbone, dim=DIM, predictor_dim=5))
    # What `read_state` takes for an encoder.
    h = types.SimpleNamespace(backbone=sides.model.predictor, head=types.SimpleNamespace(layers=[]))
    theirs = torch.nn.ModuleDict({"fc": oracle.predictor})
    write_state(h, both.to_numpy(theirs.state_dict()))
    losses = []
    for step in range(scale.steps):
        views = sides.images(np.random.default_rng(step), 2, scale.batch)
        loss = oracle.step(*map(to_torch, views), float(sides.schedule(step)))
        losses.append((sides.step(*views)["loss"], float(loss)))
    encoders = [("θ", sides.model.query_encoder, oracle.encoder)]
    assert_agree(case, scale, dtype, losses, encoders)
    theirs = both.to_numpy(theirs.state_dict())
    for name, value in read_state(h).items():  # of which one is all but 0: the mean of what is centred
        np.testing.assert_allclose(value, theirs[name], rtol=1e-9, atol=1e-9, err_msg=name)
