"""Learning-rate schedules of the papers, computed in float64 from the step.

A schedule maps an integer step (0 is the first) to a float64 scalar. Published recipes change the
rate once an epoch: epoch = step // steps_per_epoch.
"""

import math

import keras
import tensorflow as tf

Schedule = keras.optimizers.schedules.LearningRateSchedule


class Milestones(Schedule):
    """lr · factor^(number of `steps` reached): MoCo v1's ×.1 at epochs 120 and 160."""

    def __init__(self, lr, steps, factor=0.1):
        self.lr = lr
        self.steps = list(steps)
        self.factor = factor

    def __call__(self, step):
        milestones = tf.constant(self.steps, tf.int64)
        reached = tf.reduce_sum(tf.cast(tf.cast(step, tf.int64) >= milestones, tf.float64))
        return self.lr * tf.constant(self.factor, tf.float64) ** reached

    def get_config(self):
        return {"lr": self.lr, "steps": self.steps, "factor": self.factor}


class Cosine(Schedule):
    """lr · (1 + cos(π t / total)) / 2, where t, at most `total`, is the step rounded down to a multiple
    of `hold`.

    `hold` = steps per epoch is MoCo v2's schedule as published (arXiv 2003.04297); `hold` = 1 changes
    the rate every step.
    """

    def __init__(self, lr, total, hold=1):
        self.lr = lr
        self.total = total
        self.hold = hold

    def __call__(self, step):
        t = tf.cast(tf.cast(step, tf.int64) // self.hold * self.hold, tf.float64)
        return self.lr * 0.5 * (1 + tf.cos(math.pi * tf.minimum(t / self.total, 1)))

    def get_config(self):
        return {"lr": self.lr, "total": self.total, "hold": self.hold}


class Exponential(Schedule):
    """lr · factor^(step // every): ×.9 every 62,500 steps in the IG-1B recipe."""

    def __init__(self, lr, every, factor):
        self.lr = lr
        self.every = every
        self.factor = factor

    def __call__(self, step):
        drops = tf.cast(tf.cast(step, tf.int64) // self.every, tf.float64)
        return self.lr * tf.constant(self.factor, tf.float64) ** drops

    def get_config(self):
        return {"lr": self.lr, "every": self.every, "factor": self.factor}


class _Changed(Schedule):
    """What schedules share that change another, by a number of steps."""

    def __init__(self, schedule, steps):
        self.schedule = schedule
        self.lr = schedule.lr
        self.steps = steps

    def get_config(self):
        return {"schedule": keras.saving.serialize_keras_object(self.schedule), "steps": self.steps}


class Ahead(_Changed):
    """`schedule` as it is so many `steps` later."""

    def __call__(self, step):
        return self.schedule(step + self.steps)


class WarmUp(_Changed):
    """Scales `schedule` by (step + 1) / steps during the first `steps` steps."""

    def __call__(self, step):
        ramp = (tf.cast(step, tf.float64) + 1) / self.steps
        return self.schedule(step) * tf.minimum(ramp, tf.ones([], tf.float64))
