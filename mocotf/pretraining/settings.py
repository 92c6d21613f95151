"""The settings of a pre-training run, of all rooms together."""

import dataclasses
import logging
from typing import NamedTuple

from mocotf.data.settings import DataSettings
from mocotf.data.settings import PairSettings
from mocotf.data.settings import VerifySettings
from mocotf.data.settings import ViewSettings
from mocotf.errors import UserError
from mocotf.evaluation.settings import MonitorSettings
from mocotf.moco.config import MECHANISMS
from mocotf.moco.config import Config
from mocotf.moco.config import MechanismSettings
from mocotf.nn.settings import EncoderSettings
from mocotf.optim.settings import OptimisationSettings
from mocotf.settings import texts_of
from mocotf.settings import with_values
from mocotf.training.settings import PretrainingDeviceSettings
from mocotf.training.settings import PretrainingRunSettings
from mocotf.training.settings import TrainingSettings

log = logging.getLogger(__name__)
TRAINING = (OptimisationSettings, PretrainingRunSettings, PretrainingDeviceSettings)
MODEL = (EncoderSettings, MechanismSettings, *(one.SETTINGS for one in MECHANISMS.values()))
ALL = (DataSettings, VerifySettings, ViewSettings, PairSettings, *MODEL, *TRAINING, MonitorSettings)


class Pretraining(NamedTuple):
    """The settings of a pre-training run.

    Attributes:
        data, verify, views, pairs, training, monitor: of its rooms.
        config: of its model.
        saved: all of them, those of the other mechanisms too.
    """

    data: DataSettings
    verify: VerifySettings
    views: ViewSettings
    pairs: PairSettings
    training: TrainingSettings
    monitor: MonitorSettings
    config: Config
    saved: tuple

    @classmethod
    def of(cls, values, given=None):
        """Returns the settings in a name → value mapping, held against each other.

        Args:
            values: see `Settings.of`; it may have more.
            given: names of those that a user gave; None: all that are not as they are by default.

        Raises:
            UserError: they contradict each other, or one that was given is of another mechanism.
        """
        kinds = (DataSettings, VerifySettings, ViewSettings, PairSettings, MonitorSettings, *TRAINING)
        data, verify, views, pairs, monitor, *training = (one.of(values) for one in kinds)
        EncoderSettings.of(values).check(given)
        config = Config.of(values, given)
        for settings in (*training, views, pairs, monitor, config.encoder):
            settings.check(given)
        if views.data_service and data.host_ops == "numba":
            raise UserError(
                f"--data_service={views.data_service} with --host_ops=numba: a service runs "
                "TensorFlow's operators only; try --host_ops=tensorflow"
            )
        data.check(given)
        _check_views(views, pairs, config)
        saved = (data, verify, views, pairs, *(one.of(values) for one in MODEL), *training, monitor)
        return cls(data, verify, views, pairs, TrainingSettings(*training), monitor, config, saved)

    def with_bn_splits(self, bn_splits):
        """Returns the settings with another number of BN groups a replica."""
        encoder = dataclasses.replace(self.config.encoder, bn_splits=bn_splits)
        return self._replace(
            config=dataclasses.replace(self.config, encoder=encoder),
            saved=tuple(with_values(self.saved, {"bn_splits": bn_splits})),
        )

    def texts(self):
        """Returns name → text of all that decides what is computed."""
        return texts_of(self.saved, decisive=True)

    def check_devices(self, replicas, workers):
        """Checks the settings against the devices.

        Raises:
            UserError: they do not go together.
        """
        if self.training.devices.jit_compile is True and replicas > 1:
            raise UserError(
                f"--jit_compile with {replicas} replicas: XLA cannot compile what they exchange; "
                "expected one replica; drop --jit_compile, or try --strategy=one_device"
            )
        batch_size = self.training.optimisation.batch_size
        self.config.check(batch_size=batch_size, replicas=replicas, workers=workers)

    def check_source(self, source, replicas, workers):
        """Checks the settings against the data.

        Raises:
            UserError: they do not go together.
        """
        dataset, data_service = self.data.dataset, self.views.data_service
        if data_service and not source.servable:
            raise UserError(
                f"--data_service={data_service} with --dataset={dataset}, which a service cannot read: "
                "expected files that TensorFlow reads; try a folder, or a data set kept as tfrecord"
            )
        if self.monitor.probe and not source.class_names:
            raise UserError(
                f"--probe with --dataset={dataset}: the classes of its images are not known by name; "
                "expected a folder with one sub-folder a class, or a data set with labels; drop --probe"
            )
        self.config.check(**self._setup(source, replicas, workers))

    def advise(self, source, replicas, workers):
        """Says what a user should know of the settings, for what `check_source` has let pass."""
        if self.views.data_service:
            log.warning(
                "--data_service: with several workers batches come as they are ready, and a resumed "
                "run is not bit-equal to one that was not stopped; with one worker it is; see "
                "docs/guides/data.md"
            )
        for text in self.config.advice(**self._setup(source, replicas, workers)):
            log.warning("%s", text)

    def _setup(self, source, replicas, workers):
        setup = {"batch_size": self.training.optimisation.batch_size, "replicas": replicas}
        return setup | {"workers": workers, "images": source.size, "indexed": source.indexed}


def _check_views(views, pairs, config):
    """Checks what a pair of views is against the mechanism."""
    mechanism = config.mechanism
    if pairs.positives == "group" and mechanism.VIEWS < 2:
        raise UserError(
            f"--positives=group with --mechanism={mechanism.NAME}: an image's key is what it was "
            "encoded to before; expected a mechanism that takes two views, such as moco"
        )
    if mechanism.is_directed(config.own):
        return
    how = "--symmetric" if getattr(config.own, "symmetric", False) else f"--mechanism={mechanism.NAME}"
    for name in ("query_crop_min", "key_crop_min"):
        if value := getattr(views, name):
            raise UserError(f"--{name}={value} with {how}: no view is a key only; expected --crop_min")
