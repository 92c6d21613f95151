"""mocotf's training step, timed for tools/benchmark_step.py as step_torch.py times PyTorch's.

    python tools/peers/step_ours.py '{"arch": "resnet50", "precision": "float32", …}'

The step is what `python -m mocotf.train` runs: the train function of `fit`, in a strategy, with an
iterator over one batch in memory. Beside it the bare passes of both encoders, and the step's other
parts one by one. It runs on the GPU where there is one; --jit_compile is then on, unless the options
say otherwise.
"""

import functools
import json
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import mocotf.cli  # noqa: F401  # isort: skip  (first: it keeps TensorFlow's notices off the terminal)

import keras
import tensorflow as tf

from mocotf.moco.config import Config
from mocotf.moco.loss import info_nce
from mocotf.moco.momentum import momentum_update
from mocotf.moco.shuffle import permutation
from mocotf.nn import xla
from mocotf.nn.kernels import policy
from mocotf.optim.schedules import Cosine
from mocotf.training.fit import distribute
from mocotf.training.host import configure_host
from mocotf.training.settings import DeviceSettings
from mocotf.training.strategy import make_strategy
from tools.gpu import trace
from tools.peers import limit
from tools.peers.serve import resident_mb
from tools.peers.serve import seconds
from tools.peers.serve import serve

V2 = {"width": 1.0, "stem": "imagenet", "mlp": True, "moco_dim": 128, "moco_m": 0.999, "moco_t": 0.2}
V2 |= {"momentum": 0.9, "weight_decay": 1e-4}
IMAGES = 1_281_167  # ImageNet's: as many entries has a bank
UNTIMED = 2  # steps before those that are timed, where others have had the device meanwhile
settle = tf.test.experimental.sync_devices  # a GPU's work is only asked for when a call returns


class Resident:
    """An iterator whose every batch is the same tensors, where they are: no data set copies them."""

    def __init__(self, batch):
        self._batch = batch

    def __next__(self):
        return tuple(tf.identity(part) for part in self._batch)


class Bench:
    """A model and what is timed of it.

    Args:
        arch, moco_k, remat, bn_splits, mechanism: as the flags of mocotf.train; the rest is MoCo v2's.
        batch_size, image_size: of the views.
        precision: of the encoders.
        replicas: logical devices that the CPU is split into.
        jit_compile: as the flag of mocotf.train; None for what is faster on the device.
    """

    def __init__(
        self,
        arch,
        moco_k,
        batch_size,
        image_size,
        precision,
        *,
        remat=False,
        bn_splits=1,
        replicas=1,
        mechanism="moco",
        jit_compile=None,
    ):
        keras.utils.set_random_seed(0)
        keras.config.set_dtype_policy(precision)
        self.strategy = make_strategy("mirrored" if replicas > 1 else "one_device", replicas)
        self.jit_compile = xla.pays(self.strategy) if jit_compile is None else jit_compile
        with self.strategy.scope():
            own = {"arch": arch, "moco_k": moco_k, "remat": remat, "bn_splits": bn_splits}
            config = Config.of(V2 | own | {"mechanism": mechanism, "seed": 0})
            self.model = config.build_model(
                Cosine(0.03, total=1_000_000),
                jit_compile=self.jit_compile,
                batch_size=batch_size,
                images=IMAGES,
            )
        shape = [self.model.VIEWS, batch_size, image_size, image_size, 3]
        self.views = tuple(tf.unstack(tf.random.normal(shape)))
        indices = [tf.range(batch_size, dtype=tf.int64)] * self.model.INDEXED
        self.batches = self._endless((*self.views, *indices))
        self.train = self.model.make_train_function()

    def _endless(self, batch):
        """Returns an iterator over one batch, for ever; a GPU keeps the batch."""
        if policy.on_cpu():
            dataset = tf.data.Dataset.from_tensors(batch).repeat()
            return iter(distribute(self.strategy, dataset))
        return Resident(batch)

    def step(self):
        """Takes a training step; returns its loss, a tensor that a GPU may not have computed yet."""
        return self.train(self.batches)["loss"]

    @functools.cached_property
    def bare(self):
        """The networks' share of a step: a function that runs nothing else."""
        model, (x_q, x_k) = self.model, self.views
        weights = tf.random.normal([len(x_q), V2["moco_dim"]])

        def passes(x_q, x_k):
            k = model.key_encoder(x_k, training=True)
            theta_q = [v.value for v in model.query_encoder.trainable_variables]
            with tf.GradientTape() as tape:
                total = tf.reduce_sum(weights * model.query_encoder(x_q, training=True))
            # TensorFlow leaves out what is not returned, in spite of control dependencies.
            return k, tape.gradient(total, theta_q)

        return self.ready(passes, x_q, x_k)

    @functools.cached_property
    def stages(self):
        """The other parts of a step, name → function."""
        model, (x_q, x_k) = self.model, self.views
        q, k = tf.unstack(tf.math.l2_normalize(tf.random.normal([2, len(x_q), V2["moco_dim"]]), -1))
        theta_q = model.query_encoder.trainable_variables
        gradients = [tf.zeros_like(v.value) for v in theta_q]

        def shuffle(x_k, k):
            order = permutation(0, model.optimizer.iterations.value, 0, len(x_k))
            return tf.gather(x_k, order), tf.gather(k, tf.argsort(order))

        def loss(q, k):
            with tf.GradientTape() as tape:
                tape.watch(q)
                value, rank = info_nce(q, k, model.queue.keys, model.T)
            return value, rank, tape.gradient(value, q)

        def sgd(*gradients):
            model.optimizer.apply_gradients(zip(gradients, theta_q, strict=True))

        def follow():
            momentum_update(model.key_encoder, model.query_encoder, model.m)

        return {
            "momentum_update": self.ready(follow),
            "shuffle": self.ready(shuffle, x_k, k),
            "info_nce": self.ready(loss, q, k),
            "sgd": self.ready(sgd, *gradients),
            "enqueue": self.ready(model.queue.enqueue, k),
        }

    def ready(self, work, *arguments):
        """Returns `work` on the arguments as a function without, that runs as the step does."""

        def run(*arguments):
            with xla.compiled_whole(self.jit_compile):
                return self.strategy.run(work, args=arguments)

        function = tf.function(run, jit_compile=self.jit_compile or None)
        function = function.get_concrete_function(*arguments)  # calls are not checked anew
        function(*arguments)
        return functools.partial(function, *arguments)


def prepare(memory_mb=None, deterministic=False, tf32=True, **options):
    """Sets TensorFlow up as the options say, and returns those that are left, of `Bench`.

    Args:
        memory_mb: of the GPU that this process may take, where others want theirs.
        deterministic, tf32: as the flags of mocotf.train.
    """
    for gpu in tf.config.list_physical_devices("GPU") if memory_mb else ():
        part = tf.config.LogicalDeviceConfiguration(memory_limit=memory_mb)
        tf.config.set_logical_device_configuration(gpu, [part])
    configure_host(DeviceSettings(deterministic=deterministic, tf32="on" if tf32 else "off"))
    return options


def device_peak_mb():
    """Returns {} on a CPU, else the most memory of the GPU that was in use at once."""
    if not tf.config.list_logical_devices("GPU"):
        return {}
    return {"device_peak_mb": tf.config.experimental.get_memory_info("GPU:0")["peak"] / 1e6}


def main():
    options = json.loads(sys.argv[1])
    with policy.without(*options.pop("left_out", ())):  # entries of the policy
        answer(options)


def answer(options):
    """Answers what is asked for on standard input, of a step by the options of `prepare`."""
    base_mb = resident_mb()
    bench = Bench(**prepare(**options))
    dtype = tf.as_dtype(bench.model.query_encoder.compute_dtype)
    parts = ["step", "bare"]

    def timed(work, count=1):
        return seconds(work, count, settle)

    def begin(count):
        first = timed(bench.step)
        timed(bench.step, count - 1)
        arithmetic = (policy.arithmetic(dtype) if policy.on_cpu() else dtype).name
        found = {"base_mb": base_mb, "peak_mb": resident_mb("VmHWM"), "arithmetic": arithmetic}
        return found | {"first_step_seconds": first} | device_peak_mb()

    def times(count):
        parts.reverse()  # whichever is first has the peer's work before it
        return {part: timed(getattr(bench, part), count) for part in parts}

    def step():
        return timed(bench.step)

    def steps(count):
        timed(bench.step, UNTIMED)  # brings the card's clock back to where it was
        return {"seconds": timed(bench.step, count), "loss": float(bench.step())}

    def profile(count):
        with tempfile.TemporaryDirectory() as folder:
            with tf.profiler.experimental.Profile(folder):
                timed(bench.step, count)
            return trace.summary(folder, count)

    def stages():
        return {name: timed(stage) for name, stage in bench.stages.items()}

    def limits():
        gflop = limit.step_gflop(bench.model.query_encoder, bench.views[0])
        return limit.peaks(dtype) | {"step_gflop": gflop}

    requests = {"begin": begin, "times": times, "step": step, "steps": steps, "profile": profile}
    serve(requests | {"stages": stages, "limit": limits})


if __name__ == "__main__":
    main()
