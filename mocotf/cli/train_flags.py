"""The flags of `python -m mocotf.train`, named after the original's."""

from absl import flags

from mocotf.cli import auto_flag
from mocotf.cli import data_flags
from mocotf.cli import fit_flags
from mocotf.cli import mechanism_flags
from mocotf.cli import values
from mocotf.data import recipe
from mocotf.errors import UserError
from mocotf.moco.shuffle import SHUFFLES
from mocotf.nn.backbone import NAMES
from mocotf.nn.backbone import check_resnet
from mocotf.nn.backbone import is_name
from mocotf.nn.resnet import STEMS
from mocotf.training.divergence import MOST_SKIPPED

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(data_flags)
flags.adopt_module_key_flags(fit_flags)
flags.adopt_module_key_flags(mechanism_flags)

# Data
flags.DEFINE_enum(
    "augment_on",
    "host",
    ["host", "device"],
    "device: the host only decodes, crops and resizes; the accelerator does colours, blur and flip.",
)
flags.DEFINE_string(
    "data_service", None, "Address of a tf.data service that makes the views: grpc://HOST:PORT."
)
flags.DEFINE_integer("image_size", 224, "Side of a view, pixels.", lower_bound=8)
flags.DEFINE_bool(
    "aug_plus", False, "MoCo v2's augmentation instead of v1's: jitter p .8, then gray, then blur."
)
flags.DEFINE_float("crop_min", 0.2, "Smallest share of the image's area in a crop.", 0.0001, 1)
flags.DEFINE_list(
    "jitter",
    None,
    "Strengths of brightness, contrast, saturation, hue. Default: .4,.4,.4,.4; v2 .4,.4,.4,.1.",
)
flags.DEFINE_float("blur_prob", None, "Share of views blurred, with --aug_plus. Default: .5.", 0, 1)
flags.DEFINE_list("mean", [str(x) for x in recipe.IMAGENET_MEAN], "Mean of R, G, B in [0, 1].")
flags.DEFINE_list("std", [str(x) for x in recipe.IMAGENET_STD], "Standard deviation of R, G, B.")
# Model
flags.DEFINE_string(
    "arch",
    "resnet50",
    f"Backbone: {NAMES}, a function(width=, stem=, bn_splits=) that returns a Keras model from images "
    "to features.",
)
flags.register_validator("arch", is_name, f"value should be one of {NAMES}")
flags.DEFINE_float("width", 1.0, "Multiplies every channel count of the backbone.", lower_bound=0.01)
flags.DEFINE_enum(
    "stem",
    "imagenet",
    list(STEMS),
    "First layers: imagenet 7x7/2 and max-pool, small 3x3/2, cifar 3x3/1.",
)
flags.DEFINE_bool("mlp", False, "MoCo v2's two-layer head instead of v1's linear one.")
flags.DEFINE_integer("moco_dim", 128, "Dimension of queries and keys.", lower_bound=1)
flags.DEFINE_integer(
    "moco_k",
    65536,
    "Negatives: keys in the queue of moco; entries drawn from the bank, by memory_bank for all images "
    "of a step, by npid for each. end_to_end has those of the batch.",
    lower_bound=1,
)
flags.DEFINE_float(
    "moco_m",
    0.999,
    "Momentum m of the key encoder: theta_k <- m theta_k + (1 - m) theta_q each step of moco.",
    0,
    1,
)
flags.DEFINE_float("moco_t", 0.07, "Softmax temperature T.", lower_bound=1e-6)
flags.DEFINE_integer(
    "bn_splits",
    1,
    "BN groups a replica's batch is split into; 8 stands for the papers' 8 GPUs.",
    lower_bound=1,
)
flags.DEFINE_enum(
    "shuffle_bn",
    "gather",
    SHUFFLES,
    "Permute key images over replicas and BN groups: gather, every replica gathers all of them; input, "
    "the input pipeline permutes them, and only keys travel; off.",
)
flags.DEFINE_bool("symmetric", False, "Sum the loss of both directions; enqueues 2 keys an image.")
flags.DEFINE_integer(
    "grad_accum_steps",
    1,
    "Parts a replica takes its share of a batch in, one after another, to need less memory; batch norm "
    "and its shuffling act within a part.",
    lower_bound=1,
)
# Run
flags.DEFINE_list(
    "workers", None, "host:port of each process of the run, the chief first; the same on all."
)
flags.DEFINE_integer("worker_index", None, "Place of this process in --workers.", lower_bound=0)
flags.DEFINE_integer(
    "worker_timeout",
    1800,
    "Seconds that a worker waits for the others, at the start or in a step, before it gives up.",
    lower_bound=1,
)
flags.DEFINE_string("tpu", None, "Name or address of a TPU; local on a TPU VM.")
flags.DEFINE_integer(
    "check_replicas_every",
    0,
    "Steps between checks that all replicas hold the same bits; 0 for none.",
    lower_bound=0,
)
auto_flag.define(
    "jit_compile",
    "XLA compiles the whole step. auto: on one GPU that XLA can compile for; with several replicas it "
    "cannot, and on a CPU it is slower.",
)
flags.DEFINE_bool(
    "remat",
    False,
    "Gradient checkpointing: keep only what the query encoder's stem and residual blocks take in, and "
    "compute the rest again for the gradient. Saves most of the memory that grows with the batch, "
    "costs one more forward pass a step; changes no result.",
)
flags.DEFINE_string(
    "init_from",
    None,
    "Start a new run from the query encoder of another: a run directory, or a checkpoint, ckpt-STEP.",
)
flags.DEFINE_enum(
    "on_nan",
    "stop",
    ["stop", "restore"],
    "Where loss or gradients are not finite: stop, or restore the last checkpoint and leave out the "
    "batch.",
)
flags.DEFINE_integer(
    "max_skipped_batches",
    3,
    "Batches that --on_nan=restore leaves out before it stops.",
    0,
    MOST_SKIPPED,
)
flags.DEFINE_integer(
    "knn_every",
    1,
    "Epochs between kNN measurements, where there are labels, and galleries of nearest neighbours in "
    "TensorBoard; 0 for none.",
    lower_bound=0,
)
flags.DEFINE_integer(
    "knn_bank", 50000, "At most so many labelled images to compare with, evenly picked.", lower_bound=1
)
flags.DEFINE_integer("knn_k", 200, "Neighbours that vote.", lower_bound=1)
flags.DEFINE_float("knn_t", 0.07, "Temperature of the vote.", lower_bound=1e-6)
flags.DEFINE_enum(
    "knn_features",
    "pooled",
    ["pooled", "embedding"],
    "What kNN compares: backbone features, or the head's output.",
)
flags.DEFINE_bool(
    "probe",
    False,
    "Where images have labels: a linear classifier of the features learns beside the encoder, which it "
    "does not touch; its top-1 on training views is recorded.",
)

# Flags that change what is shown or kept, not what is computed.
NEUTRAL = fit_flags.NEUTRAL | {"remat", "check_replicas_every", "worker_timeout"}
NEUTRAL |= {"on_nan", "max_skipped_batches"}
NEUTRAL |= {"knn_every", "knn_k", "knn_t", "knn_bank", "knn_features"}
NEUTRAL |= {"max_bad_images", "data_service", "shard_bank"}
NEUTRAL |= {"jit_compile"}  # not given, it stays what it was when the run was begun
# Flags that say where a run is, not what it is; they are not saved.
PLACES = fit_flags.PLACES | {"workers", "worker_index", "tpu"}
# Flags that are lists of numbers, and how many.
LISTS = {"jitter": 4, "mean": 3, "std": 3}


def resolved():
    """Returns name → text of every flag but those of `PLACES`, defaults included."""
    return values.resolved(__name__, PLACES)


def decisive():
    """Returns the part of `resolved` that decides what is computed."""
    return {name: text for name, text in resolved().items() if name not in NEUTRAL}


def check():
    """Holds flags against each other and makes numbers of lists.

    Raises:
        UserError: flags contradict each other, or a list is not of the numbers expected.
    """
    fit_flags.check()
    fit_flags.check_needed("blur_prob", "aug_plus")
    mechanism_flags.check()
    _check_ranges()
    _check_data_service()
    if FLAGS.remat:
        check_resnet(FLAGS.arch, "--remat")
    if FLAGS.shuffle_bn == "input" and FLAGS.symmetric:
        raise UserError(
            "--shuffle_bn=input with --symmetric: key images are queries too, and to place them twice "
            "saves nothing; try --shuffle_bn=gather"
        )
    data_flags.check()


def numbers(name):
    """Returns the numbers of a flag of `LISTS`; None where it is not set."""
    return values.numbers(name, LISTS[name])


def _check_data_service():
    if FLAGS.data_service and FLAGS.host_ops == "numba":
        raise UserError(
            f"--data_service={FLAGS.data_service} with --host_ops=numba: a service runs TensorFlow's "
            "operators only; try --host_ops=tensorflow"
        )
    if FLAGS.data_service and not FLAGS.data_service.startswith("grpc://"):
        raise UserError(f"--data_service={FLAGS.data_service}: expected grpc://HOST:PORT")


def _check_ranges():
    if min(numbers("std")) <= 0:
        raise UserError(f"--std={','.join(FLAGS.std)}: expected three numbers above 0")
    strengths = numbers("jitter")
    if strengths and (min(strengths) < 0 or strengths[3] > 0.5):
        raise UserError(
            f"--jitter={','.join(FLAGS.jitter)}: expected strengths from 0, that of hue up to .5"
        )
    numbers("mean")
    values.check_finite("moco_t", "width", "knn_t")
