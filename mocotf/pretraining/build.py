"""What pre-training settings describe: the model, and the batches that it learns from."""

import logging

import keras
import numpy as np

from mocotf.data.pretraining import augment_crops
from mocotf.data.pretraining import random_views
from mocotf.nn import xla
from mocotf.nn.kernels import policy

log = logging.getLogger(__name__)

FAR = 50  # standard deviations; a measured value is seldom further from the mean


def build_model(settings, source, strategy, schedule):
    """Returns the compiled model of `Pretraining` settings; Keras draws by the run's seed then.

    Args:
        source: the `Source`, whose size and classes some models have to know.
        strategy: of the run, in whose scope the model is built.
        schedule: step → learning rate.

    Raises:
        UserError: the batch or the images do not fit the mechanism.
    """
    optimisation, run, devices = settings.training
    keras.utils.set_random_seed(run.seed)
    keras.config.set_dtype_policy(devices.precision)
    augment = None
    if is_on_device(settings):
        augment = augment_crops(settings.views.augmentation, conditions=policy.on_cpu())
    with strategy.scope():
        return settings.config.build_model(
            schedule,
            augment,
            xla.is_to_compile(devices.jit_compile, strategy, devices.deterministic),
            probe_classes=len(source.class_names) if settings.monitor.probe else 0,
            batch_size=optimisation.batch_size,
            images=source.size,
            steps_per_execution=run.steps_per_execution,
        )


def batches(settings, source, model, order, bad_images, first_step=0):
    """Returns the endless dataset of a worker's batches, of which the model makes views if it is to.

    Args:
        source, model: as in `build_model`.
        order: an `Order`.
        bad_images: a `BadImages`.
        first_step: of the run, whose batch comes first.
    """
    return random_views(
        source,
        settings.views.augmentation,
        order,
        bad_images=bad_images,
        first_step=first_step,
        crops_only=is_on_device(settings),
        ops=settings.data.host_ops,
        data_service=settings.views.data_service,
        labels=settings.monitor.probe,
        views=model.VIEWS,
        indices=model.INDEXED,
    )


def check_units(views, augmentation):
    """Says so where values of other channels than RGB are far from the mean and std they should have.

    Args:
        views: of a batch, normalised, `[n, S, S, C]` each.
        augmentation: an `Augmentation`.
    """
    if not augmentation.channels:
        return
    furthest = np.max([np.abs(view).max((0, 1, 2)) for view in views], axis=0)
    if furthest.max() > FAR:
        channel = int(furthest.argmax())
        log.warning(
            "channel %d of the first batch has values %.0f standard deviations from --mean: those of "
            "other units, or other images? python -m mocotf.check_data --channels=%d measures both",
            channel + 1,
            furthest[channel],
            augmentation.channels,
        )


def is_on_device(settings):
    """Returns whether the device finishes what the host only decodes, crops and resizes."""
    return settings.views.augment_on == "device"
