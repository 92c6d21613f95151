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


def check_devices(replicas, workers):
    """Holds the flags against the devices."""
    mechanism_flags.check_devices(replicas, workers)
    if FLAGS.jit_compile is True and replicas > 1:
        raise UserError(
            f"--jit_compile with {replicas} replicas: XLA cannot compile what they exchange; expected "
            "one replica; drop --jit_compile, or try --strategy=one_device"
        )
    if FLAGS.shuffle_bn == "input" and workers > 1:
        raise UserError(
            f"--shuffle_bn=input with {workers} workers: no input pipeline has the key images of all; "
            "try --shuffle_bn=gather"
        )


def check_batch(replicas):
    """Holds the batch against the devices and the queue."""
    groups = replicas * FLAGS.bn_splits
    unit = groups * FLAGS.grad_accum_steps
    if FLAGS.batch_size % unit:
        raise UserError(
            f"--batch_size={FLAGS.batch_size}: expected a multiple of {unit} ({replicas} replicas x "
            f"--bn_splits={FLAGS.bn_splits} x --grad_accum_steps={FLAGS.grad_accum_steps}); "
            f"try {FLAGS.batch_size // unit * unit or unit}"
        )
    mechanism_flags.check_batch()
    enqueued = FLAGS.batch_size * (1 + FLAGS.symmetric)
    if FLAGS.mechanism == "moco" and FLAGS.moco_k < enqueued:
        raise UserError(
            f"--moco_k={FLAGS.moco_k}: smaller than the {enqueued} keys enqueued a step; "
            f"expected at least that; try --moco_k={4 * enqueued}"
        )
    if groups == 1 and not mechanism_flags.has_bank():
        log.warning(
            "one BN group: keys share their batch statistics with their queries, which "
            "shuffled BN is to prevent; try --bn_splits=8; see docs/faq.md"
        )


def check_source(source, replicas):
    """Holds the batch, the queue and the bank against the data."""
    if source.size < FLAGS.batch_size:
        unit = FLAGS.bn_splits * FLAGS.grad_accum_steps
        fitting = source.size // unit * unit
        raise UserError(
            f"--batch_size={FLAGS.batch_size}: the data set has only {source.size} images; expected "
            f"at least one batch; try {f'--batch_size={fitting}' if fitting else 'more images'}"
        )
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
    mechanism_flags.check_source(source, replicas)
    if FLAGS.mechanism == "moco" and FLAGS.moco_k > source.size:
        log.warning(
            "--moco_k=%d is larger than the data set (%d images): the queue holds older keys of the "
            "very images it is compared with; see docs/faq.md",
            FLAGS.moco_k,
            source.size,
        )


def make_monitor(source, augmentation, bad_images):
    """Returns the `KNNMonitor`, None with --knn_every=0."""
    if not FLAGS.knn_every:
        return None
    if not all(source.evaluation_sizes):
        log.warning("no kNN: %s has no labels, or no split to ask about", source.name)
        source = Unlabelled(source)
    vote = {"k": FLAGS.knn_k, "T": FLAGS.knn_t}
    return KNNMonitor(source, augmentation, bad_images, most=FLAGS.knn_bank, **vote)
