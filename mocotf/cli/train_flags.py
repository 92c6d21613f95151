"""The flags of `python -m mocotf.train`, named after the original's."""

import math

from absl import flags

from mocotf.data import recipe
from mocotf.data.pair import OPS
from mocotf.errors import UserError
from mocotf.moco.shuffle import SHUFFLES
from mocotf.nn.resnet import ARCHITECTURES
from mocotf.nn.resnet import STEMS
from mocotf.training.divergence import MOST_SKIPPED
from mocotf.training.strategy import STRATEGIES

FLAGS = flags.FLAGS

# Data
flags.DEFINE_string(
    "dataset",
    "patches",
    "patches (embedded), folder, tfrecord, tfds (a prepared one), or a name in tensorflow-datasets.",
)
flags.DEFINE_string(
    "data_dir",
    None,
    "Folder of images or of TFRecord shards, a pattern of shards, or where tensorflow-datasets keeps "
    "its data; with --dataset=tfds the folder of one prepared data set.",
)
flags.DEFINE_integer(
    "num_images", None, "Of --dataset=tfrecord, to save counting its records.", lower_bound=1
)
flags.DEFINE_float(
    "max_bad_images",
    0.1,
    "Share of images that may fail to decode and be left out; more stop the run.",
    0,
    1,
)
flags.DEFINE_enum(
    "augment_on",
    "host",
    ["host", "device"],
    "device: the host only decodes, crops and resizes; the accelerator does colours, blur and flip.",
)
flags.DEFINE_enum(
    "host_ops",
    "numba",
    OPS,
    "What makes views of image files on the host: numba, the faster, or TensorFlow's operators, which "
    "a data service can run.",
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
flags.DEFINE_enum("arch", "resnet50", list(ARCHITECTURES), "Backbone.")
flags.DEFINE_float("width", 1.0, "Multiplies every channel count of the backbone.", lower_bound=0.01)
flags.DEFINE_enum(
    "stem",
    "imagenet",
    list(STEMS),
    "First layers: imagenet 7x7/2 and max-pool, small 3x3/2, cifar 3x3/1.",
)
flags.DEFINE_bool("mlp", False, "MoCo v2's two-layer head instead of v1's linear one.")
flags.DEFINE_integer("moco_dim", 128, "Dimension of queries and keys.", lower_bound=1)
flags.DEFINE_integer("moco_k", 65536, "Keys in the queue.", lower_bound=1)
flags.DEFINE_float(
    "moco_m",
    0.999,
    "Momentum m of the key encoder: theta_k <- m theta_k + (1 - m) theta_q each step.",
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
# Optimisation
flags.DEFINE_integer("epochs", 200, "Passes over the data.", lower_bound=1)
flags.DEFINE_integer("steps", None, "Optimizer steps in all; overrides --epochs.", lower_bound=1)
flags.DEFINE_integer("batch_size", 256, "Images a step, over all replicas.", lower_bound=1)
flags.DEFINE_integer(
    "grad_accum_steps",
    1,
    "Parts a replica takes its share of a batch in, one after another, to need less memory; batch norm "
    "and its shuffling act within a part.",
    lower_bound=1,
)
flags.DEFINE_float("lr", 0.03, "Learning rate.", lower_bound=0)
flags.DEFINE_enum(
    "lr_scaling",
    "none",
    ["none", "linear", "sqrt"],
    "Multiply --lr by batch_size / 256, or its square root.",
)
flags.DEFINE_list("schedule", ["120", "160"], "Epochs at which the rate falls to a tenth.")
flags.DEFINE_bool("cos", False, "Cosine schedule instead of --schedule.")
flags.DEFINE_enum(
    "cos_unit", "epoch", ["epoch", "step"], "How often --cos changes the rate; the papers: epoch."
)
flags.DEFINE_integer(
    "exp_steps",
    None,
    "Instead of --schedule: multiply the rate by --exp_factor every so many steps.",
    lower_bound=1,
)
flags.DEFINE_float("exp_factor", 0.9, "Factor for --exp_steps.", 0, 1)
flags.DEFINE_integer("warmup_epochs", 0, "Epochs of linear warm-up.", lower_bound=0)
flags.DEFINE_float("momentum", 0.9, "Momentum of SGD.", 0, 1)
flags.DEFINE_float("weight_decay", 1e-4, "Coupled weight decay, on all parameters.", lower_bound=0)
# Run
flags.DEFINE_string(
    "model_dir",
    None,
    "Run directory: checkpoints, metrics, TensorBoard. A stopped run in it is resumed.",
)
flags.DEFINE_integer("seed", 0, "Of the run's random draws.", 0, 2**32 - 1)
flags.DEFINE_enum(
    "strategy",
    "auto",
    STRATEGIES,
    "mirrored: a replica on each accelerator; multi_worker: on those of all workers, which --workers, "
    "TF_CONFIG or SLURM name; tpu: on a TPU's cores; auto: the one of these that fits.",
)
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
flags.DEFINE_integer(
    "num_logical_devices",
    1,
    "Split the CPU into so many devices, to try several replicas.",
    lower_bound=1,
)
flags.DEFINE_enum(
    "precision",
    "float32",
    ["float32", "mixed_bfloat16", "mixed_float16"],
    "Of the encoders; loss, queue and momentum update stay float32. mixed_float16 scales the loss; a "
    "step whose gradients overflow changes no weight, halves the scale, and counts.",
)
flags.DEFINE_bool(
    "jit_compile", False, "XLA compiles the whole step; for one accelerator, on a CPU it is slower."
)
flags.DEFINE_integer(
    "intra_op_threads",
    0,
    "Threads that share the work of one operator; 0: one a core.",
    lower_bound=0,
)
flags.DEFINE_integer(
    "inter_op_threads",
    0,
    "Operators that run at once, those that make views among them; 0: one a core.",
    lower_bound=0,
)
flags.DEFINE_bool(
    "remat",
    False,
    "Gradient checkpointing: keep only what the query encoder's stem and residual blocks take in, and "
    "compute the rest again for the gradient. Saves most of the memory that grows with the batch, "
    "costs one more forward pass a step; changes no result.",
)
flags.DEFINE_integer("steps_per_execution", 1, "Steps between returns to Python.", lower_bound=1)
flags.DEFINE_integer(
    "log_every", 10, "Steps between records in metrics.jsonl and TensorBoard.", lower_bound=1
)
flags.DEFINE_integer(
    "checkpoint_every",
    1000,
    "Steps between checkpoints; the last step is one too.",
    lower_bound=1,
)
flags.DEFINE_integer(
    "checkpoint_epochs", 0, "Epochs between checkpoints, instead of --checkpoint_every.", lower_bound=0
)
flags.DEFINE_float(
    "checkpoint_minutes",
    0,
    "Save as well when so many minutes have passed since the last checkpoint; 0: not.",
    lower_bound=0,
)
flags.DEFINE_integer(
    "keep_checkpoints",
    3,
    "How many of the newest are kept; the one of the highest kNN is kept beside them.",
    lower_bound=1,
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
    "Epochs between kNN measurements, where there are labels; 0 for none.",
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

# Flags that change what is shown or kept, not what is computed.
NEUTRAL = {"log_every", "checkpoint_every", "steps_per_execution", "remat"}
NEUTRAL |= {"checkpoint_epochs", "checkpoint_minutes", "keep_checkpoints", "check_replicas_every"}
NEUTRAL |= {"on_nan", "max_skipped_batches", "worker_timeout"}
NEUTRAL |= {"knn_every", "knn_k", "knn_t", "knn_bank", "knn_features"}
NEUTRAL |= {"max_bad_images", "data_service"}
NEUTRAL |= {"inter_op_threads"}  # but not intra_op_threads: it decides in which order sums are taken
# Flags that say where a run is, not what it is; they are not saved.
PLACES = {"model_dir", "workers", "worker_index", "tpu"}
# Flags that are lists of numbers, and how many; None for any.
LISTS = {"jitter": 4, "mean": 3, "std": 3, "schedule": None}


def resolved():
    """Returns name → text of every flag but those of `PLACES`, defaults included."""
    own = FLAGS.get_flags_for_module(__name__)
    return {f.name: _text(f) for f in own if f.name not in PLACES and f.value is not None}


def decisive():
    """Returns the part of `resolved` that decides what is computed."""
    return {name: text for name, text in resolved().items() if name not in NEUTRAL}


def _text(flag):
    if isinstance(flag.value, bool):  # which absl would write --name or --noname
        return str(flag.value).lower()
    return flag.serialize().partition("=")[2]


def check():
    """Holds flags against each other and makes numbers of lists.

    Raises:
        UserError: flags contradict each other, or a list is not of the numbers expected.
    """
    for one, other in (("cos", "schedule"), ("cos", "exp_steps"), ("exp_steps", "schedule")):
        if FLAGS[one].value and _changed(other):
            raise UserError(f"--{one} and --{other} contradict each other: give one of them")
    for flag, needed in (("cos_unit", "cos"), ("exp_factor", "exp_steps"), ("blur_prob", "aug_plus")):
        if _changed(flag) and not FLAGS[needed].value:
            raise UserError(f"--{flag} does nothing without --{needed}: add it, or drop --{flag}")
    for name in LISTS:
        numbers(name)
    _check_ranges()
    _check_data_service()
    if FLAGS.shuffle_bn == "input" and FLAGS.symmetric:
        raise UserError(
            "--shuffle_bn=input with --symmetric: key images are queries too, and to place them twice "
            "saves nothing; try --shuffle_bn=gather"
        )
    if FLAGS.num_logical_devices > 1 and FLAGS.strategy == "one_device":
        raise UserError(
            f"--num_logical_devices={FLAGS.num_logical_devices} and --strategy=one_device contradict "
            "each other: try --strategy=mirrored"
        )
    expected = {"folder": "a folder of images", "tfrecord": "a folder or a pattern of shards"}
    if FLAGS.dataset in expected and not FLAGS.data_dir:
        raise UserError(
            f"--dataset={FLAGS.dataset}: --data_dir is missing; expected {expected[FLAGS.dataset]}"
        )
    if FLAGS.num_images and FLAGS.dataset != "tfrecord":
        raise UserError(
            f"--num_images={FLAGS.num_images} does nothing with --dataset={FLAGS.dataset}: drop it"
        )
    if FLAGS.dataset == "patches" and FLAGS.data_dir:
        raise UserError(
            f"--data_dir={FLAGS.data_dir} with --dataset=patches, which is embedded; for your own "
            "images: --dataset=folder"
        )


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
    for name in ("lr", "moco_t", "weight_decay", "width", "knn_t"):
        if not math.isfinite(FLAGS[name].value):
            raise UserError(f"--{name}={FLAGS[name].value}: expected a finite number")


def _changed(name):
    # Not `present`: a saved flags.cfg names every flag.
    return FLAGS[name].value != FLAGS[name].default


def numbers(name):
    """Returns the numbers of list flag `name`; None where it is not set.

    Raises:
        UserError: not numbers, or not as many as expected.
    """
    count = LISTS[name]
    texts = FLAGS[name].value
    if texts is None:
        return None
    try:
        values = tuple(float(text) for text in texts)
    except ValueError:
        values = ()
    if not all(map(math.isfinite, values)):
        values = ()
    if not values or (count and len(values) != count):
        raise UserError(
            f"--{name}={','.join(texts)}: expected {count or 'some'} numbers separated by commas"
        )
    return values
