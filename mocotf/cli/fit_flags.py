"""Flags of every command that trains: how long, how fast, where to."""

import functools

from absl import flags

from mocotf.cli import run_flags
from mocotf.cli import values
from mocotf.errors import UserError
from mocotf.optim import schedules
from mocotf.training.fit import compile_with_sgd
from mocotf.training.gpus import DEVICES
from mocotf.training.progress import Course
from mocotf.training.progress import Every
from mocotf.training.strategy import STRATEGIES

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(run_flags)

# Optimisation
flags.DEFINE_integer("epochs", 200, "Passes over the data.", lower_bound=1)
flags.DEFINE_integer("steps", None, "Optimizer steps in all; overrides --epochs.", lower_bound=1)
flags.DEFINE_integer("batch_size", 256, "Images a step, over all replicas.", lower_bound=1)
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
flags.DEFINE_integer("seed", 0, "Of the run's random draws.", 0, 2**32 - 1)
flags.DEFINE_enum(
    "strategy",
    "auto",
    STRATEGIES,
    "mirrored: a replica on each accelerator; multi_worker: on those of all workers, which --workers, "
    "TF_CONFIG or SLURM name; tpu: on a TPU's cores; auto: the one of these that fits.",
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
flags.DEFINE_enum(
    "device", "auto", DEVICES, "gpu: refuse to run without; auto: a GPU if TensorFlow can use it."
)
flags.DEFINE_enum(
    "tf32",
    "on",
    ["on", "off"],
    "GPUs round what they multiply in float32 to 10 bits, but for the loss and its logits: several "
    "times as fast.",
)
flags.DEFINE_bool(
    "deterministic",
    False,
    "The same command gives the same bits, on a GPU too; on a CPU it does anyway. The step is not "
    "compiled, and TensorFlow makes views one after another.",
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
    "How many of the newest are kept; the best one, by the accuracy measured, is kept beside them.",
    lower_bound=1,
)

# Flags that change what is shown or kept, not what is computed.
NEUTRAL = {"log_every", "checkpoint_every", "checkpoint_epochs", "checkpoint_minutes"}
NEUTRAL |= {"keep_checkpoints", "steps_per_execution"}
NEUTRAL |= {"device", "tf32", "deterministic"}  # roundings, as another machine's
NEUTRAL |= {"inter_op_threads"}  # but not intra_op_threads: it decides in which order sums are taken
# Flags that say where a run is, not what it is; they are not saved.
PLACES = {"model_dir"}


def check():
    """Holds the flags against each other.

    Raises:
        UserError: they contradict each other, or a list is not of numbers.
    """
    for one, other in (("cos", "schedule"), ("cos", "exp_steps"), ("exp_steps", "schedule")):
        if FLAGS[one].value and values.changed(other):
            raise UserError(f"--{one} and --{other} contradict each other: give one of them")
    for flag, needed in (("cos_unit", "cos"), ("exp_factor", "exp_steps")):
        check_needed(flag, needed)
    values.numbers("schedule")
    values.check_finite("lr", "weight_decay")
    if FLAGS.num_logical_devices > 1 and FLAGS.strategy == "one_device":
        raise UserError(
            f"--num_logical_devices={FLAGS.num_logical_devices} and --strategy=one_device contradict "
            "each other: try --strategy=mirrored"
        )


def host_options():
    """Returns what `configure_host` takes, by name."""
    own = ("intra_op_threads", "inter_op_threads", "device", "deterministic")
    return {name: FLAGS[name].value for name in own} | {"tf32": FLAGS.tf32 == "on"}


def check_needed(flag, needed):
    """Refuses a flag that was changed without the one that it belongs to."""
    if values.changed(flag) and not FLAGS[needed].value:
        raise UserError(f"--{flag} does nothing without --{needed}: add it, or drop --{flag}")


def make_course(steps_per_epoch, total_steps, schedule, **more):
    """Returns the `Course` of a run; `more` is what other flags decide of it."""
    return Course(
        total_steps,
        steps_per_epoch,
        FLAGS.batch_size,
        schedule,
        log=Every(FLAGS.log_every),
        save=Every(
            FLAGS.checkpoint_epochs * steps_per_epoch or FLAGS.checkpoint_every,
            FLAGS.checkpoint_minutes,
            asked=True,
        ),
        keep=FLAGS.keep_checkpoints,
        **more,
    )


def steps_of(size, what="images"):
    """Returns the steps of an epoch of so many images.

    Raises:
        UserError: they make no batch; they are called `what`.
    """
    if size < FLAGS.batch_size:
        raise UserError(
            f"--batch_size={FLAGS.batch_size}: there are only {size} {what} to train on; expected at "
            f"least one batch; try --batch_size={size}"
        )
    return size // FLAGS.batch_size


def compiler(lr_scales):
    """Returns `compile_with_sgd`, (model, schedule) → None, with what the flags give it beside."""
    return functools.partial(
        compile_with_sgd,
        momentum=FLAGS.momentum,
        weight_decay=FLAGS.weight_decay,
        lr_scales=lr_scales,
        precision=FLAGS.precision,
        steps_per_execution=FLAGS.steps_per_execution,
    )


def make_schedule(steps_per_epoch, total_steps, lr=None):
    """Returns the learning rate's schedule, step → rate; `lr` takes the place of --lr."""
    scale = FLAGS.batch_size / 256
    lr = (lr or FLAGS.lr) * {"none": 1, "linear": scale, "sqrt": scale**0.5}[FLAGS.lr_scaling]
    if FLAGS.cos:
        hold = steps_per_epoch if FLAGS.cos_unit == "epoch" else 1
        schedule = schedules.Cosine(lr, total_steps, hold)
    elif FLAGS.exp_steps:
        schedule = schedules.Exponential(lr, FLAGS.exp_steps, FLAGS.exp_factor)
    else:
        milestones = values.numbers("schedule")
        schedule = schedules.Milestones(lr, [int(e * steps_per_epoch) for e in milestones])
    if FLAGS.warmup_epochs:
        schedule = schedules.WarmUp(schedule, FLAGS.warmup_epochs * steps_per_epoch)
    return schedule
