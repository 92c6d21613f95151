"""The flags of `python -m mocotf.train`, named after the original's, and what they give."""

import logging
from typing import NamedTuple

from absl import flags

from mocotf.cli import arguments
from mocotf.cli import settings_flags
from mocotf.data.settings import DataSettings
from mocotf.data.settings import ViewSettings
from mocotf.errors import UserError
from mocotf.evaluation.settings import MonitorSettings
from mocotf.moco.config import MECHANISMS
from mocotf.moco.config import Config
from mocotf.moco.config import MechanismSettings
from mocotf.nn.settings import EncoderSettings
from mocotf.optim.settings import OptimisationSettings
from mocotf.settings import texts_of
from mocotf.training.settings import PretrainingDeviceSettings
from mocotf.training.settings import PretrainingRunSettings
from mocotf.training.settings import TrainingSettings

log = logging.getLogger(__name__)
TRAINING = (OptimisationSettings, PretrainingRunSettings, PretrainingDeviceSettings)
MODEL = (EncoderSettings, MechanismSettings, *(one.SETTINGS for one in MECHANISMS.values()))
settings_flags.define(DataSettings, ViewSettings, *MODEL, *TRAINING, MonitorSettings)


class Pretraining(NamedTuple):
    """The settings of a pre-training run.

    Attributes:
        data, views, training, monitor: of its rooms.
        config: of its model.
        saved: all of them, those of the other mechanisms too.
    """

    data: DataSettings
    views: ViewSettings
    training: TrainingSettings
    monitor: MonitorSettings
    config: Config
    saved: tuple

    def texts(self):
        """Returns name → text of all that decides what is computed."""
        return texts_of(self.saved, decisive=True)


def read(values=None):
    """Returns the `Pretraining` that the flags give.

    Args:
        values: name → value or text, as if they were given.

    Raises:
        UserError: they contradict each other, or one that was given is of another mechanism.
    """
    given = arguments.given() | (values or {}).keys()
    values = flags.FLAGS.flag_values_dict() | (values or {})
    data, views, monitor, *training = (
        cls.of(values) for cls in (DataSettings, ViewSettings, MonitorSettings, *TRAINING)
    )
    EncoderSettings.of(values).check(given)
    config = Config.of(values, given)
    for settings in (*training, views, monitor, config.encoder):
        settings.check(given)
    if views.data_service and data.host_ops == "numba":
        raise UserError(
            f"--data_service={views.data_service} with --host_ops=numba: a service runs TensorFlow's "
            "operators only; try --host_ops=tensorflow"
        )
    data.check(given)
    saved = (data, views, *(cls.of(values) for cls in MODEL), *training, monitor)
    return Pretraining(data, views, TrainingSettings(*training), monitor, config, saved)


def check_devices(settings, replicas, workers):
    """Holds a `Pretraining` against the devices.

    Raises:
        UserError: they do not go together.
    """
    if settings.training.devices.jit_compile is True and replicas > 1:
        raise UserError(
            f"--jit_compile with {replicas} replicas: XLA cannot compile what they exchange; expected "
            "one replica; drop --jit_compile, or try --strategy=one_device"
        )
    batch_size = settings.training.optimisation.batch_size
    settings.config.check(batch_size=batch_size, replicas=replicas, workers=workers)


def check_source(settings, source, replicas, workers):
    """Holds a `Pretraining` against the data, and says what a user should know of it.

    Raises:
        UserError: they do not go together.
    """
    dataset, data_service = settings.data.dataset, settings.views.data_service
    if data_service and not source.servable:
        raise UserError(
            f"--data_service={data_service} with --dataset={dataset}, which is kept as array_record: a "
            "service cannot read it; try a data set kept as tfrecord"
        )
    if settings.monitor.probe and not source.class_names:
        raise UserError(
            f"--probe with --dataset={dataset}: the classes of its images are not known by name; "
            "expected a folder with one sub-folder a class, or a data set of tensorflow-datasets with "
            "labels; drop --probe"
        )
    setup = {"batch_size": settings.training.optimisation.batch_size, "replicas": replicas}
    setup |= {"workers": workers, "images": source.size, "indexed": source.indexed}
    settings.config.check(**setup)
    if data_service:
        log.warning(
            "--data_service: with several workers batches come as they are ready, and a resumed run is "
            "not bit-equal to one that was not stopped; with one worker it is; see docs/data.md"
        )
    for text in settings.config.advice(**setup):
        log.warning("%s", text)
