"""A mocotf model and the PyTorch oracle with the same weights, queue and permutations."""

import collections
import types
import typing

import numpy as np
import tensorflow as tf
import torch

from mocotf.interop.torch_names import read_state
from mocotf.interop.torch_names import write_state
from mocotf.moco import model
from mocotf.moco.loss import logits
from mocotf.moco.shuffle import permutation
from mocotf.moco.shuffle import within_micro_batches
from mocotf.nn.plain import plain_backbone
from mocotf.optim.schedules import Cosine
from mocotf.optim.schedules import Milestones
from mocotf.optim.sgd import SGD
from tests.oracles.small import to_torch
from tests.oracles.torch_moco import MoCoOracle
from tests.oracles.torch_resnet import BasicBlock
from tests.oracles.torch_resnet import ResNet
from tests.tiny import ONE_BLOCK
from tests.tiny import maker

SEED = 3
DIM = 6
T, M, WEIGHT_DECAY = 0.2, 0.9, 1e-2  # small m and large decay, so that neither can hide


class Scale(typing.NamedTuple):
    """How large a comparison is."""

    arch: str
    stages: int  # of one basic block each
    side: int  # of the images; the last stage must not normalise over few values a channel
    batch: int
    K: int  # no multiple of the batch: the pointer wraps within an enqueue
    images: int  # of a bank; no multiple of two replicas: shards are of unequal length
    steps: int
    stock: bool = False  # of Keras's own layers

    @property
    def backbone(self):
        """The function that makes a backbone."""
        make = maker(self.arch, width=1 / 16, stem="cifar")
        return (lambda: plain_backbone(make())) if self.stock else make


QUICK = Scale(ONE_BLOCK, 1, side=8, batch=16, K=36, images=43, steps=6)
FULL = Scale("resnet10", 4, side=16, batch=32, K=72, images=83, steps=30)


def milestones(steps):
    """Returns a schedule that falls twice in so many steps."""
    return Milestones(0.02, [steps // 3, 2 * steps // 3])


def cosine(steps):
    """Returns a schedule that falls twice in so many steps, and once more after them."""
    return Cosine(0.02, 4 * steps // 3, hold=steps // 3)


def make_network(scale, dtype, replicas, bn_splits, mlp=True):
    """Returns the oracle's counterpart of a scale's encoder, with weights of its own."""
    torch.manual_seed(SEED)
    groups = {"bn_groups": replicas * bn_splits, "running": bn_splits}
    network = ResNet(BasicBlock, (1,) * scale.stages, stem="cifar", dim=DIM, base=4, mlp=mlp, **groups)
    if dtype == "float32":
        # Where an input of a ReLU lies within float32's rounding of zero, it may open on one side and
        # not on the other, and 30 steps make much of that; in float64 the networks stay as they start.
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.constant_(module.bias, 3.0)
    return network.to(getattr(torch, dtype))


def distributed(strategy, *batch):
    """Returns arrays of the global batch as replicas take them, each its contiguous share."""
    share = len(batch[0]) // strategy.num_replicas_in_sync

    def own(context):
        start = share * context.replica_id_in_sync_group
        return tuple(tf.constant(x[start : start + share]) for x in batch)

    return strategy.experimental_distribute_values_from_function(own)


class Both:
    """Steps a model on one strategy and its oracle side by side.

    Args:
        strategy: of the mocotf side.
        scale: a `Scale`.
        schedule: step → learning rate, float64.
        dtype: "float32" or "float64"; the Keras policy must be set to it.
        mlp, bn_splits: of the encoders.
        options: of the model.
    """

    def __init__(self, strategy, scale, schedule, *, dtype, mlp=True, bn_splits=1, **options):
        self.strategy, self.scale, self.schedule, self.dtype = strategy, scale, schedule, dtype
        replicas = strategy.num_replicas_in_sync
        with strategy.scope():
            options |= {"dim": DIM, "mlp": mlp, "bn_splits": bn_splits}
            self.model = model.MoCo(scale.backbone, K=scale.K, m=M, T=T, seed=SEED, **options)
            self.model.compile(SGD(schedule, weight_decay=WEIGHT_DECAY), jit_compile=False)
        network = make_network(scale, dtype, replicas, bn_splits, mlp)
        for encoder in (self.model.query_encoder, self.model.key_encoder):
            write_state(named(encoder), to_numpy(network.state_dict()))
        queue = torch.from_numpy(self.model.queue.keys.numpy())
        parts = {"symmetric": self.model.symmetric, "accumulation": self.model.A, "replicas": replicas}
        self.oracle = MoCoOracle(network, queue, m=M, T=T, weight_decay=WEIGHT_DECAY, **parts)
        self._recorder = LogitsRecorder()
        self._step = tf.function(self._distributed_step, autograph=False)

    def step(self, step):
        """Takes a step on both sides; returns ((loss, logits), (loss, logits)), mocotf's first."""
        rng = np.random.default_rng(step)
        N, side = self.scale.batch, self.scale.side
        x_q, x_k = rng.normal(size=(2, N, side, side, 3)).astype(self.dtype)
        share = N // self.strategy.num_replicas_in_sync
        orders = [permutation(SEED, step, d, N) for d in range(2)]
        orders = [within_micro_batches(o, share, self.model.A).numpy() for o in orders]
        placed = x_k[orders[0]] if self.model.shuffle == "input" else x_k
        self._step(distributed(self.strategy, x_q, placed))
        mine = self._recorder.take()
        orders = orders if self.model.symmetric else orders[0]
        theirs = self.oracle.step(to_torch(x_q), to_torch(x_k), float(self.schedule(step)), orders)
        return mine, [value.numpy() for value in theirs]

    def _distributed_step(self, views):
        with self._recorder:
            self.strategy.run(self.model.train_step, args=(views,))


class LogitsRecorder:
    """Keeps what `info_nce` sees, in the step's precision: as arrays, for no tensor leaves a loop.

    While a step is traced, enter it.
    """

    def __init__(self):
        self._seen = collections.defaultdict(list)  # (direction, replica) → of each micro-batch

    def __enter__(self):
        self._original = model.info_nce
        directions = collections.Counter()  # traced so far on each replica

        def recording(q, k, queue, T):
            replica = tf.distribute.get_replica_context()._replica_id
            place = directions[replica], replica
            directions[replica] += 1
            positive, negatives = logits(q, k, queue, T)
            loss, rank = self._original(q, k, queue, T)
            joined = tf.concat([positive[:, None], negatives], axis=1)
            tf.numpy_function(lambda *values: self._seen[place].append(values), [loss, joined], [])
            return loss, rank

        model.info_nce = recording
        return self

    def __exit__(self, *_):
        model.info_nce = self._original

    def take(self):
        """Returns loss and logits of the step just taken, those of two directions stacked."""
        seen, self._seen = self._seen, collections.defaultdict(list)
        loss, joined = 0.0, []
        for direction in sorted({direction for direction, _ in seen}):
            parts = [part for place in sorted(seen) if place[0] == direction for part in seen[place]]
            losses, rows = zip(*parts, strict=True)
            loss += np.mean(losses)
            joined.append(np.concatenate(rows))
        return loss, np.stack(joined) if len(joined) > 1 else joined[0]


def to_numpy(state):
    """Returns a PyTorch state as arrays."""
    return {name: value.detach().numpy() for name, value in state.items()}


def encoders_of(model, oracle):
    """Returns (name, encoder, the oracle's) of both encoders."""
    queries = "θq", named(model.query_encoder), oracle.encoder_q
    return queries, ("θk", named(model.key_encoder), oracle.encoder_k)


def named(encoder):
    """Returns an encoder as `read_state` and `write_state` take it: its layers within reach."""
    backbone = getattr(encoder.backbone, "model", encoder.backbone)
    return types.SimpleNamespace(backbone=backbone, head=encoder.head)


def differences(both):
    """Returns quantity → largest relative difference of a tensor after a run of steps."""
    found = {"queue": relative(both.model.queue.keys.numpy(), both.oracle.queue.numpy())}
    for name, encoder, network in encoders_of(both.model, both.oracle):
        mine, theirs = read_state(encoder), to_numpy(network.state_dict())
        for key, value in mine.items():
            statistic = key.endswith(("running_mean", "running_var"))
            quantity = f"BN statistics of {name}" if statistic else name
            found[quantity] = max(found.get(quantity, 0), relative(value, theirs[key]))
    return found


def relative(a, b):
    """Returns max|a - b| / max|b|."""
    return float(np.max(np.abs(a - b)) / max(np.max(np.abs(b)), 1e-30))
