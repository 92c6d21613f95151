"""What the flags of `mocotf.train` describe: made, and held against each other."""

import logging

from absl import flags

from mocotf.cli import mechanism_flags
from mocotf.cli import settings_flags
from mocotf.data.settings import ViewSettings
from mocotf.errors import UserError
from mocotf.evaluation.monitor import KNNMonitor
from mocotf.evaluation.unlabelled import Unlabelled
from mocotf.nn import xla
from mocotf.settings import AUTO
from mocotf.training.run_dir import read_flags

FLAGS = flags.FLAGS
log = logging.getLogger(__name__)


def make_augmentation():
    """Returns the `Augmentation`."""
    return settings_flags.read(ViewSettings).augmentation


def jit_compile(strategy, run_dir):
    """Returns whether XLA compiles the step: as the flag says, or the run's when that was begun, or as
    is faster.

    Keras has XLA compile nothing where operators are to be deterministic.

    Args:
        strategy: of the run.
        run_dir: a `RunDir`; None where this is not the chief.

    Raises:
        UserError: XLA is asked for, and cannot be had.
    """
    if FLAGS.jit_compile is True and not xla.works():
        raise UserError(
            "--jit_compile: XLA does not compile for this GPU (TensorFlow 2.21 knows none of compute "
            "capability 12.0 and later); drop it"
        )
    if FLAGS.deterministic:
        return False
    asked = FLAGS.jit_compile
    if asked == AUTO and run_dir:
        saved = read_flags(run_dir.file("flags.cfg")).get("jit_compile")
        asked = {"true": True, "false": False}.get(saved, AUTO)
    return xla.pays(strategy) if asked == AUTO else asked


def check_setup(replicas, workers):
    """Holds the flags against the devices.

    Raises:
        UserError: they do not go together.
    """
    if FLAGS.jit_compile is True and replicas > 1:
        raise UserError(
            f"--jit_compile with {replicas} replicas: XLA cannot compile what they exchange; expected "
            "one replica; drop --jit_compile, or try --strategy=one_device"
        )
    mechanism_flags.read_config().check(batch_size=FLAGS.batch_size, replicas=replicas, workers=workers)


def check_source(source, replicas, workers):
    """Holds the flags against the data, and says what a user should know of them.

    Raises:
        UserError: they do not go together.
    """
    if FLAGS.data_service and not source.portable:
        raise UserError(
            f"--data_service={FLAGS.data_service} with --dataset={FLAGS.dataset}, which is kept as "
            "array_record: a service cannot read it; try a data set kept as tfrecord"
        )
    if FLAGS.probe and not source.class_names:
        raise UserError(
            f"--probe with --dataset={FLAGS.dataset}: the classes of its images are not known by name; "
            "expected a folder with one sub-folder a class, or a data set of tensorflow-datasets with "
            "labels; drop --probe"
        )
    config = mechanism_flags.read_config()
    setup = {"batch_size": FLAGS.batch_size, "replicas": replicas, "workers": workers}
    setup |= {"images": source.size, "indexed": source.indexed}
    config.check(**setup)
    for text in config.advice(**setup):
        log.warning("%s", text)


def make_monitor(source, augmentation, bad_images):
    """Returns the `KNNMonitor`, None with --knn_every=0."""
    if not FLAGS.knn_every:
        return None
    if not all(source.evaluation_sizes):
        log.warning("no kNN: %s has no labels, or no split to ask about", source.name)
        source = Unlabelled(source)
    vote = {"k": FLAGS.knn_k, "T": FLAGS.knn_t}
    return KNNMonitor(source, augmentation, bad_images, most=FLAGS.knn_bank, **vote)
