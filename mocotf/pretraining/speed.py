"""How fast a run would be: its own steps, tried for some seconds."""

import dataclasses
import time
from typing import NamedTuple

import keras

from mocotf.data.bad_images import BadImages
from mocotf.data.sources.base import Order
from mocotf.evaluation.monitor import encoder_function
from mocotf.evaluation.monitor import make_monitor
from mocotf.pretraining.build import batches
from mocotf.pretraining.build import build_model
from mocotf.training.fit import distribute

SECONDS = 3.0  # that are timed …
LEAST = 5  # … but so many executions at least
WARM = 3  # executions before, for which the input has run ahead
SAMPLE = 1000  # pictures of a bank, and of queries, that a measurement is timed by


class Pace(NamedTuple):
    """Seconds that a run takes.

    Attributes:
        start: until the first step is done.
        step: of one after it, input included.
        measurement: of an accuracy.
    """

    start: float
    step: float
    measurement: float


def try_steps(settings, source, strategy):
    """Returns the `Pace` of a run; nothing is left of what is tried but the time it took.

    Args:
        settings: `Pretraining`, of the run.
        source: the `Source`.
        strategy: `tf.distribute` strategy that the steps run on.
    """
    began = time.monotonic()
    optimisation, run, _ = settings.training
    steps_per_epoch = source.steps_per_epoch(optimisation.batch_size)
    model = build_model(settings, source, strategy, optimisation.make_schedule(steps_per_epoch))
    order = Order(run.seed, optimisation.batch_size, steps_per_epoch)
    bad_images = BadImages(None, source.size, root=source.root)
    dataset = model.arrange(batches(settings, source, model, order, bad_images), 0)
    execute = model.make_train_function()
    with bad_images.explained():
        iterator = iter(distribute(strategy, dataset))
        execute(iterator)["loss"].numpy()
        start = time.monotonic() - began
        for _ in range(WARM):
            execute(iterator)["loss"].numpy()
        executions, began = 0, time.monotonic()
        while executions < LEAST or time.monotonic() - began < SECONDS:
            execute(iterator)["loss"].numpy()
            executions += 1
        seconds = time.monotonic() - began
    measurement = _try_measurement(settings, source, model, bad_images)
    keras.backend.clear_session()
    return Pace(start, seconds / executions / run.steps_per_execution, measurement)


def _try_measurement(settings, source, model, bad_images):
    """Returns the seconds of a measurement of accuracy, in proportion to those of a smaller one."""
    smaller = dataclasses.replace(settings.monitor, knn_bank=min(SAMPLE, settings.monitor.knn_bank))
    monitor = make_monitor(smaller, source, settings.views.augmentation, bad_images)
    if monitor is None:
        return 0.0
    encode = encoder_function(model.query_encoder, smaller.knn_features)
    monitor.scores(encode)  # traced
    began = time.monotonic()
    monitor.scores(encode)
    seconds, sizes = time.monotonic() - began, source.evaluation_sizes
    timed, all_of_them = (
        sum(min(size, most) for size in sizes) for most in (smaller.knn_bank, settings.monitor.knn_bank)
    )
    return seconds * max(1, all_of_them) / max(1, timed)
