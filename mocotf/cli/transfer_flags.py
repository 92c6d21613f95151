"""The flags that `mocotf.detect` and `mocotf.segment` share, and the runs that they describe."""

import os

from absl import flags

from mocotf.cli import data_flags
from mocotf.cli import encoder_flags
from mocotf.cli import fit_flags
from mocotf.cli import layer_flags
from mocotf.cli import pretrained_flags
from mocotf.cli import values
from mocotf.errors import UserError
from mocotf.optim import schedules
from mocotf.training.host import configure_host
from mocotf.training.progress import Course
from mocotf.training.progress import Every
from mocotf.training.strategy import make_strategy
from mocotf.transfer.run import Transfer
from mocotf.transfer.start import RANDOM
from mocotf.transfer.start import check_alike
from mocotf.transfer.start import open_start

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(encoder_flags)
flags.adopt_module_key_flags(fit_flags)
flags.adopt_module_key_flags(layer_flags)
flags.adopt_module_key_flags(pretrained_flags)
for _name in ("dataset", "data_dir", "max_bad_images"):
    flags.declare_key_flag(_name)
del data_flags

flags.DEFINE_list(
    "drop_at",
    [],
    "Steps at which the rate falls to a tenth, in place of --schedule; numbers below 1 are shares of "
    "the run.",
)
flags.DEFINE_integer("warmup_steps", 0, "Steps of linear warm-up.", lower_bound=0)
flags.DEFINE_integer(
    "evaluate_every", 0, "Steps between measurements on the test images; 0: at the end.", lower_bound=0
)
flags.DEFINE_list(
    "compare",
    [],
    f"Train from several starts, side by side: {RANDOM} for the architecture of --pretrained at "
    "random, --pretrained itself, and those given here: runs of mocotf.train, mocotf.convert, "
    f"mocotf.linear or mocotf.finetune, or {RANDOM} for no more than those two.",
)
flags.DEFINE_list("seeds", ["0"], "With --compare: seeds, of each of which every start has a run.")
flags.DEFINE_integer(
    "train_images",
    None,
    "Labelled images to train on: so many are chosen, always the same; of cutouts, composed. Default: "
    "all; of cutouts 64.",
    lower_bound=1,
)
flags.DEFINE_integer(
    "test_images",
    None,
    "Images to measure on, chosen likewise. Default: all; of cutouts 128.",
    lower_bound=1,
)

# Flags that change what is shown or kept, not what is computed; the start is told by its weights.
NEUTRAL = fit_flags.NEUTRAL | {"evaluate_every", "max_bad_images", "pretrained"}
# Flags of all commands that train or read images, which do nothing here; with what to give instead.
IDLE = {
    "epochs": "give --steps",
    "host_ops": "drop it",
    "num_images": "for a part of the images give --train_images",
}
# Flags of what goes on beside a run: a comparison, what a trained model is handed on as.
BESIDE = {"compare", "seeds", "saved_model"}


def run(job_of, module):
    """Trains what the flags ask for: one run, or those of a comparison; returns the results.

    Args:
        job_of: () → `Job`, called once the flags are found to be good.
        module: name of the command's module, whose flags are saved.
    """
    if not FLAGS.model_dir:
        raise UserError("--model_dir is missing; expected a folder, such as --model_dir=runs/transfer")
    settings = fit_flags.read()
    check_idle()
    check_schedule()
    check_comparison()
    configure_host(settings.devices)
    strategy = make_strategy(FLAGS.strategy, FLAGS.num_logical_devices)
    if FLAGS.batch_size % strategy.num_replicas_in_sync:
        raise UserError(
            f"--batch_size={FLAGS.batch_size}: expected a multiple of "
            f"{strategy.num_replicas_in_sync}, the replicas"
        )
    starts = open_starts()
    job = job_of()
    steps_per_epoch = settings.optimisation.steps_per_epoch(job.images.size)
    course = Course.of(
        settings,
        steps_per_epoch,
        make_schedule(steps_per_epoch),
        measure=Every(FLAGS.evaluate_every or FLAGS.steps),
    )
    texts = values.resolved(module, fit_flags.PLACES | BESIDE)
    texts["drop_at"] = ",".join(FLAGS.drop_at if drops() else [])
    lr_scales = layer_flags.lr_scales()
    transfer = Transfer(job, course, settings, lr_scales, strategy, texts, NEUTRAL)
    if FLAGS.compare:
        return transfer.compare(starts, FLAGS.model_dir, [int(s) for s in values.numbers("seeds")])
    return transfer.train(*starts, FLAGS.model_dir, FLAGS.seed)


def open_starts():
    """Returns the `Start`s that the flags name, which are alike."""
    if not FLAGS.compare:
        return [open_start(FLAGS.pretrained, trained=not FLAGS.untrained)]
    starts = [open_start(FLAGS.pretrained, trained=False)]
    # One run, however its path is written, is one start.
    different = {}
    for path in [FLAGS.pretrained, *FLAGS.compare]:
        if path != RANDOM:
            different.setdefault(os.path.realpath(path), path)
    starts += [open_start(path) for path in different.values()]
    check_alike(starts)
    return starts


def check_idle():
    """Refuses flags that other commands have and that would do nothing here.

    Raises:
        UserError: one is given.
    """
    for flag, instead in IDLE.items():
        if values.changed(flag):
            raise UserError(f"--{flag} does nothing here: {instead}")


def check_schedule():
    """Holds the flags of the learning rate against each other.

    Raises:
        UserError: they contradict each other.
    """
    layer_flags.lr_scales()
    for other in ("cos", "exp_steps", "schedule", "warmup_epochs", "lr_scaling") if drops() else ():
        if values.changed(other):
            raise UserError(f"--drop_at and --{other} contradict each other: give one of them")
    if min(drops(), default=1) <= 0:
        raise UserError(f"--drop_at={','.join(FLAGS.drop_at)}: expected numbers above 0")


def drops():
    """Returns the numbers of --drop_at; none where another schedule takes the place of its default."""
    others = map(values.changed, ("cos", "exp_steps", "schedule"))
    if not FLAGS.drop_at or (FLAGS["drop_at"].using_default_value and any(others)):
        return ()
    return values.numbers("drop_at")


def check_comparison():
    """Holds the flags of a comparison against those of a run.

    Raises:
        UserError: they contradict each other, or seeds are not whole numbers that differ.
    """
    if not FLAGS.compare:
        if values.changed("seeds"):
            raise UserError("--seeds does nothing without --compare: add it, or give --seed")
        return
    for flag, instead in (("seed", "give --seeds"), ("untrained", f"give --compare={RANDOM}")):
        if values.changed(flag):
            raise UserError(f"--{flag} does nothing with --compare: {instead}")
    seeds = values.numbers("seeds")
    if len(set(seeds)) < len(seeds) or any(s % 1 or not 0 <= s < 2**32 for s in seeds):
        raise UserError(
            f"--seeds={','.join(FLAGS.seeds)}: expected whole numbers from 0 to {2**32 - 1}, each once"
        )


def make_schedule(steps_per_epoch):
    """Returns the learning rate's schedule, step → rate."""
    if drops():
        steps = [round(d * FLAGS.steps if d < 1 else d) for d in drops()]
        schedule = schedules.Milestones(FLAGS.lr, steps)
    else:
        schedule = fit_flags.read().optimisation.make_schedule(steps_per_epoch)
    return schedules.WarmUp(schedule, FLAGS.warmup_steps) if FLAGS.warmup_steps else schedule
