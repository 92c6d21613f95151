"""What `keras.Model.fit` needs changed for a custom step on any strategy."""

import time

import keras
import tensorflow as tf

from mocotf.metrics import LOSS
from mocotf.metrics import OF_EVERY_RUN
from mocotf.nn import xla
from mocotf.optim.fused_optimizer import FusedOptimizer


class Gauges:
    """What a run watches of itself: no state of the model, and in no checkpoint.

    Attributes:
        data_wait: seconds spent waiting for the input pipeline so far, a float.
        unhealthy_step: the first step whose loss or gradients were not finite, -1 while there is none,
            int64 variable.
        stop: above 0 once this worker is asked to end the run, below once it has seen that the run has
            collapsed, float32 variable.
    """

    def __init__(self):
        self.data_wait = 0.0
        self.forget_epoch()
        self.unhealthy_step = tf.Variable(-1, dtype=tf.int64, trainable=False, name="unhealthy_step")
        self.stop = tf.Variable(0.0, trainable=False, name="stop")

    def next(self, iterator):
        """Returns the next of an iterator, and adds to `data_wait` how long that took."""
        # Timed within the step's graph, a GPU would wait for the end of a step to begin the next.
        before = time.monotonic()
        batch = next(iterator)
        self.data_wait += time.monotonic() - before
        return batch

    def forget_epoch(self):
        """Begins the means of an epoch anew."""
        self._sums, self._steps = {}, 0

    def note_logs(self, logs):
        """Adds what a step reported, name → tensor, to the means of its epoch."""
        self._sums = {name: self._sums.get(name, 0.0) + value for name, value in logs.items()}
        self._steps += 1

    def epoch_means(self):
        """Returns name → mean of what the epoch's steps have reported so far, {} where none has."""
        return {name: total / self._steps for name, total in self._sums.items()}

    def note_health(self, step, loss, gradient_norm):
        """Remembers the step if it is the first that is not healthy."""
        healthy = tf.math.is_finite(loss) & tf.math.is_finite(gradient_norm)
        before = self.unhealthy_step.read_value()
        self.unhealthy_step.assign(tf.where((before < 0) & ~healthy, tf.cast(step, tf.int64), before))


class Trainer(keras.Model):
    """A `keras.Model` whose `fit` runs `train_step` on every strategy and watches it.

    Keras 3's own train function builds the model on a batch (the encoders are built, and a batch
    would be lost) and reduces what a step returns in a way that fails under
    `MultiWorkerMirroredStrategy`. This one reduces scalars by their mean over replicas, ends an
    execution of several steps at the epoch's end, and keeps the `gauges`. An execution of several
    steps is that many calls of one step's graph.

    Attributes:
        METRICS: `Metric`s of what steps report and records say of them.
        steps_per_epoch, total_steps: of a run, set before `fit`; None where `fit` is told by its
            arguments.
        gauges: a `Gauges`.
    """

    METRICS = (LOSS, *OF_EVERY_RUN)

    def __init__(self, name=None):
        super().__init__(name=name)
        self.gauges = Gauges()
        self.steps_per_epoch = None
        self.total_steps = None

    def variable_groups(self):
        """Returns part → its variables, a list or name → variable: what a checkpoint holds of it."""
        raise NotImplementedError

    @property
    def trained_variables(self):
        """The variables that the optimizer trains."""
        raise NotImplementedError

    def compile(self, optimizer="sgd", **options):
        """`keras.Model.compile`, in the scope of the strategy, which builds the optimizer as well."""
        super().compile(optimizer, **options)
        self.optimizer.build(self.trained_variables)

    def descend(self, gradients):
        """Takes the optimizer's step by gradients of `trained_variables`; returns what it reports."""
        if isinstance(self.optimizer, FusedOptimizer):
            self.optimizer.apply_gradients(zip(gradients, self.trained_variables, strict=True))
            return {"gradient_norm": self.optimizer.gradient_norm.value}
        # Keras's sum gradients over replicas where nobody sees it.
        context, scale = tf.distribute.get_replica_context(), self.optimizer.scale_loss(1.0)
        summed = gradients
        if context.num_replicas_in_sync > 1:
            summed = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        gradient_norm = tf.cast(tf.linalg.global_norm(summed), tf.float32) / scale
        self.optimizer.apply_gradients(zip(gradients, self.trained_variables, strict=True))
        return {"gradient_norm": gradient_norm}

    def watched(self, record, batch_size):
        """Returns name → number: what a record says of the model, beside what its steps report.

        Args:
            record: what is known of the step: its number from 1, `step`, and what it reported.
            batch_size: images a step, over all replicas.
        """
        del record, batch_size
        return {"weight_norm": norm(self.trained_variables)}

    @property
    def step(self):
        """Optimizer steps taken so far, an int."""
        return int(self.optimizer.iterations.numpy())

    def reset_metrics(self):
        super().reset_metrics()
        self.gauges.forget_epoch()

    def get_metrics_result(self):
        """Returns the epoch's means for `fit`'s history, as Keras's own metrics would have them."""
        return super().get_metrics_result() | self.gauges.epoch_means()

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Does nothing: the encoders come built."""

    def make_train_function(self, force=False):
        # What `fit` does at its start. To read the step each time would be to wait for a GPU.
        self._taken = self.step
        if self.train_function is not None and not force:
            return self.train_function
        strategy = self.distribute_strategy

        @tf.function(jit_compile=self.jit_compile, reduce_retracing=True, autograph=False)
        def one_step(batch):
            names = []

            def step(batch):
                with xla.compiled_whole(self.jit_compile):
                    logs = self.train_step(batch)
                    if self.total_steps:
                        logs["stop"] = self.gauges.stop
                names[:] = logs
                return tf.stack(list(logs.values()))  # one reduction for all

            means = strategy.reduce("MEAN", strategy.run(step, args=(batch,)), axis=None)
            return dict(zip(names, tf.unstack(means), strict=True))

        @tf.function(reduce_retracing=True, autograph=False)
        def healthy_step(batch):
            logs = one_step(batch)
            self.gauges.note_health(
                self.optimizer.iterations.value, logs["loss"], logs["gradient_norm"]
            )
            return logs

        def train_function(iterator):
            for _ in range(self.steps_per_execution):
                logs = healthy_step(self.gauges.next(iterator))
                self._taken += 1
                if not self.total_steps:
                    self.gauges.note_logs(logs)  # a run of commands has records instead
                    continue
                # Keras counts executions, not steps: the last execution of an epoch may be shorter.
                if self._taken % self.steps_per_epoch == 0 or self._taken == self.total_steps:
                    break
            return logs

        self.train_function = train_function
        return train_function


def norm(variables):
    """Returns the Euclidean norm of all variables together, a float."""
    return float(_norm([v.value for v in variables]))


@tf.function(autograph=False)  # one by one, the operators take a GPU's host longer than a step
def _norm(variables):
    return tf.linalg.global_norm([tf.cast(v, tf.float32) for v in variables])
