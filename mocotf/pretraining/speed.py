"""How fast a run would be: its own steps, tried for some seconds."""

import time

import keras

from mocotf.data.bad_images import BadImages
from mocotf.data.sources.base import Order
from mocotf.pretraining.build import batches
from mocotf.pretraining.build import build_model
from mocotf.training.fit import distribute

SECONDS = 3.0  # that are timed …
LEAST = 5  # … but so many executions at least
WARM = 3  # executions before, for which the input has run ahead


def try_steps(settings, source, strategy):
    """Returns (seconds until the first step is done, seconds of one after it), input included.

    Nothing is left of the steps that are tried but the time they took.

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
    bad_images = BadImages(None, source.size)
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
    keras.backend.clear_session()
    return start, seconds / executions / run.steps_per_execution
