"""mocotf's training step, timed for tools/benchmark_step.py as step_torch.py times PyTorch's.

    python tools/peers/step_ours.py '{"arch": "resnet50", "precision": "float32", …}'

The step is what `python -m mocotf.train` runs: the train function of `fit`, in a strategy, with an
iterator over one batch in memory. Beside it the bare passes of both encoders, and the step's other
parts one by one.
"""

import functools
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import mocotf.cli  # noqa: F401  # isort: skip  (first: it keeps TensorFlow's notices off the terminal)

import keras
import tensorflow as tf

from mocotf.moco.config import Config
from mocotf.moco.key_encoder import momentum_update
from mocotf.moco.loss import info_nce
from mocotf.moco.shuffle import permutation
from mocotf.nn import hot
from mocotf.optim.schedules import Cosine
from mocotf.training.fit import distribute
from mocotf.training.host import configure_host
from mocotf.training.strategy import make_strategy
from tools.peers import limit
from tools.peers.serve import resident_mb
from tools.peers.serve import seconds
from tools.peers.serve import serve

V2 = {"width": 1.0, "stem": "imagenet", "mlp": True, "moco_dim": 128, "moco_m": 0.999, "moco_t": 0.2}
V2 |= {"shuffle_bn": "gather", "symmetric": False}
V2 |= {"momentum": 0.9, "weight_decay": 1e-4}
IMAGES = 1_281_167  # ImageNet's: as many entries has a bank


class Bench:
    """A model and what is timed of it.

    Args:
        arch, moco_k, remat, bn_splits, mechanism: as the flags of mocotf.train; the rest is MoCo v2's.
        batch_size, image_size: of the views.
        precision: of the encoders.
        replicas: logical devices that the CPU is split into.
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
    ):
        keras.utils.set_random_seed(0)
        keras.config.set_dtype_policy(precision)
        self.strategy = make_strategy("mirrored" if replicas > 1 else "one_device", replicas)
        with self.strategy.scope():
            config = Config(
                arch=arch,
                moco_k=moco_k,
                seed=0,
                remat=remat,
                bn_splits=bn_splits,
                mechanism=mechanism,
                **V2,
            )
            self.model = config.build_model(
                Cosine(0.03, total=1_000_000), batch_size=batch_size, images=IMAGES
            )
        shape = [self.model.VIEWS, batch_size, image_size, image_size, 3]
        self.views = tuple(tf.unstack(tf.random.normal(shape)))
        indices = [tf.range(batch_size, dtype=tf.int64)] * self.model.INDEXED
        dataset = tf.data.Dataset.from_tensors((*self.views, *indices)).repeat()
        self.batches = iter(distribute(self.strategy, dataset))
        self.train = self.model.make_train_function()

    def step(self):
        """Takes a training step; returns its loss."""
        return float(self.train(self.batches)["loss"])

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
        function = tf.function(lambda *arguments: self.strategy.run(work, args=arguments))
        function = function.get_concrete_function(*arguments)  # calls are not checked anew
        function(*arguments)
        return functools.partial(function, *arguments)


def main():
    base_mb = resident_mb()
    configure_host()
    bench = Bench(**json.loads(sys.argv[1]))
    parts = ["step", "bare"]

    def begin(count):
        seconds(bench.step, count)
        arithmetic = hot.arithmetic(tf.as_dtype(bench.model.query_encoder.compute_dtype)).name
        return {"base_mb": base_mb, "peak_mb": resident_mb("VmHWM"), "arithmetic": arithmetic}

    def times(count):
        parts.reverse()  # whichever is first has the peer's work before it
        return {part: seconds(getattr(bench, part), count) for part in parts}

    def step():
        return seconds(bench.step)

    def stages():
        return {name: seconds(stage) for name, stage in bench.stages.items()}

    def limits():
        gflop = limit.step_gflop(bench.model.query_encoder, bench.views[0])
        return limit.peaks(bench.model.query_encoder.compute_dtype) | {"step_gflop": gflop}

    serve({"begin": begin, "times": times, "step": step, "stages": stages, "limit": limits})


if __name__ == "__main__":
    main()
