"""What `keras.Model.fit` needs changed for a custom step on any strategy."""

import keras
import tensorflow as tf


class Trainer(keras.Model):
    """A `keras.Model` whose `fit` runs `train_step` on every strategy and measures the data wait.

    Keras 3's own train function builds the model on a batch (the encoders are built, and a batch
    would be lost) and reduces what a step returns in a way that fails under
    `MultiWorkerMirroredStrategy`. This one reduces scalars by their mean over replicas, ends an
    execution of several steps at the epoch's end, and adds up how long the step waited for data.

    Attributes:
        steps_per_epoch, total_steps: of the run, set before `fit`.
        data_wait: seconds spent waiting for the input pipeline so far, float64 variable.
    """

    def __init__(self, name=None):
        super().__init__(name=name)
        self.data_wait = tf.Variable(0.0, dtype=tf.float64, trainable=False, name="data_wait")
        self.steps_per_epoch = None
        self.total_steps = None

    @property
    def step(self):
        """Optimizer steps taken so far, an int."""
        return int(self.optimizer.iterations.numpy())

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Does nothing: the encoders come built."""

    def make_train_function(self, force=False):
        if self.train_function is not None and not force:
            return self.train_function
        strategy = self.distribute_strategy

        @tf.function(jit_compile=self.jit_compile, reduce_retracing=True, autograph=False)
        def one_step(batch):
            logs = strategy.run(self.train_step, args=(batch,))
            return tf.nest.map_structure(lambda x: strategy.reduce("MEAN", x, axis=None), logs)

        def next_batch(iterator):
            before = tf.timestamp()
            with tf.control_dependencies([before]):
                batch = next(iterator)
            arrived = tf.nest.flatten(batch, expand_composites=True)
            with tf.control_dependencies(arrived):
                self.data_wait.assign_add(tf.timestamp() - before)
            return batch

        def unfinished(execution_step, _):
            # Keras counts executions, not steps: the last execution of an epoch may be shorter.
            step = self.optimizer.iterations.value
            ends = tf.logical_or(step % self.steps_per_epoch == 0, step == self.total_steps)
            return tf.logical_and(execution_step < self.steps_per_execution, ~ends)

        @tf.function(autograph=False)
        def train_function(iterator):
            def body(execution_step, _):
                return execution_step + 1, one_step(next_batch(iterator))

            logs = one_step(next_batch(iterator))
            if self.steps_per_execution > 1:
                _, logs = tf.while_loop(unfinished, body, [1, logs])
            return logs

        self.train_function = train_function
        return train_function
