"""A transfer run, and several of them side by side: what `mocotf.detect` and `mocotf.segment` share."""

import fractions
import json
import os
import re

import keras
from absl import flags

from mocotf.cli import data_flags
from mocotf.cli import encoder_flags
from mocotf.cli import fit_flags
from mocotf.cli import fit_run
from mocotf.cli import layer_flags
from mocotf.cli import pretrained_flags
from mocotf.cli import values
from mocotf.data.source import Order
from mocotf.errors import UserError
from mocotf.evaluation import ledger
from mocotf.optim import schedules
from mocotf.training.checkpoints import digest
from mocotf.training.host import configure_host
from mocotf.training.pictures import keep_picture
from mocotf.training.run_dir import RunDir
from mocotf.training.run_dir import write_whole
from mocotf.training.strategy import make_strategy
from mocotf.transfer.compare import table
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
    fit_flags.check()
    check_idle()
    check_schedule()
    check_comparison()
    configure_host(**fit_flags.host_options())
    strategy = make_strategy(FLAGS.strategy, FLAGS.num_logical_devices)
    if FLAGS.batch_size % strategy.num_replicas_in_sync:
        raise UserError(
            f"--batch_size={FLAGS.batch_size}: expected a multiple of "
            f"{strategy.num_replicas_in_sync}, the replicas"
        )
    if FLAGS.compare:
        return compare(job_of, module, strategy)
    start = open_start(FLAGS.pretrained, trained=not FLAGS.untrained)
    return train(job_of(), start, FLAGS.model_dir, strategy, module)


def compare(job_of, module, strategy):
    """Trains from every start with every seed, prints the table, and writes it to the --model_dir."""
    seeds = [int(s) for s in values.numbers("seeds")]
    paths = [path for path in FLAGS.compare if path != RANDOM]
    starts = [open_start(FLAGS.pretrained, trained=False)]
    # One run, however its path is written, is one start.
    different = {}
    for path in [FLAGS.pretrained, *paths]:
        different.setdefault(os.path.realpath(path), path)
    starts += [open_start(path) for path in different.values()]
    check_alike(starts)
    job = job_of()
    rows = {start.name: [] for start in starts}
    for seed in seeds:
        for start in starts:
            FLAGS.seed = seed
            name = re.sub(r"[^\w.-]+", "_", start.name)
            folder = os.path.join(FLAGS.model_dir, f"{name}-seed{seed}")
            print(f"\n{start.name}, seed {seed}: {folder}", flush=True)
            found = train(job, start, folder, strategy, module)
            rows[start.name].append({name: found[f"{job.name}_{name}"] for name in job.accuracies})
    text = table(job.accuracies, rows)
    results = {"seeds": seeds, "images": job.images.size, "starts": rows}
    write_whole(os.path.join(FLAGS.model_dir, "comparison.md"), text)
    write_whole(os.path.join(FLAGS.model_dir, "comparison.json"), json.dumps(results, indent=2) + "\n")
    print(
        f"\n{text}\nmean ± standard deviation over seeds {', '.join(map(str, seeds))}; also in "
        f"{FLAGS.model_dir}/comparison.md"
    )
    return results


def train(job, start, model_dir, strategy, module):
    """Trains one model, resuming what was stopped; returns its results.

    Args:
        job: a `Job`.
        start: a `Start`.
        model_dir: of the run.
        strategy: a `tf.distribute` strategy.
        module: see `run`.
    """
    size = job.images.size
    if size < FLAGS.batch_size:
        raise UserError(
            f"--batch_size={FLAGS.batch_size}: there are only {size} images to train on; expected "
            f"at least one batch; try --batch_size={size}"
        )
    steps_per_epoch = size // FLAGS.batch_size
    total_steps = FLAGS.steps
    resolved = values.resolved(module, fit_flags.PLACES | BESIDE)
    resolved["untrained"] = str(not start.trained).lower()
    resolved["pretrained"] = start.name if start.trained else start.run.path
    run_dir = RunDir(
        model_dir,
        resolved,
        job.facts() | {"start": digest(start.checkpoint), "replicas": strategy.num_replicas_in_sync},
        NEUTRAL,
    )
    finished = run_dir.file("results.json")
    if FLAGS.compare and os.path.exists(finished):
        print("is complete")
        with open(finished, encoding="utf-8") as file:
            return json.load(file)

    # ---- Model
    keras.utils.clear_session()
    keras.utils.set_random_seed(FLAGS.seed)
    keras.config.set_dtype_policy(FLAGS.precision)
    schedule = make_schedule(steps_per_epoch, total_steps)
    with strategy.scope():
        model = job.build(start, FLAGS.seed)
        fit_run.compile_with_sgd(model, schedule, layer_flags.lr_scales())

    # ---- Train
    def measure(step):
        measured = job.measure(model, start.view)
        if (picture := job.picture(model, start.view)) is not None:
            keep_picture(run_dir, job.name, step, picture)
        return measured

    order = Order(FLAGS.seed, FLAGS.batch_size, steps_per_epoch)
    fit_run.train(
        model,
        run_dir,
        resolved,
        lambda step: job.batches(start.view, order, step),
        measure,
        bad_images=job.bad_images,
        accuracy=next(iter(job.accuracies)),
        schedule=schedule,
        total_steps=total_steps,
        steps_per_epoch=steps_per_epoch,
        measure_every=fractions.Fraction(FLAGS.evaluate_every or total_steps, steps_per_epoch),
        chance=None,
    )
    return finish(job, start, run_dir, model)


def finish(job, start, run_dir, model):
    """Writes results.json and prints what was found; returns the results."""
    measured = [record for record in run_dir.metrics() if next(iter(job.accuracies)) in record]
    last = measured[-1]
    results = {f"{job.name}_{name}": last[name] for name in job.accuracies}
    results |= {"images": job.images.size, "steps": model.step, "start": start.name}
    results |= {"bad_images": len(job.bad_images.names)} | job.finish(model, start)
    write_whole(run_dir.file("results.json"), json.dumps(results, indent=2) + "\n")
    if not FLAGS.compare and not start.tuned:
        name = next(iter(job.accuracies))
        ledger.enter(start.run, {f"{job.name}_{name}": last[name]}, trained=start.trained)
    shown = ", ".join(f"{heading} {last[name]:.2f}" for name, heading in job.accuracies.items())
    print(f"{job.name}: {shown}, from {start.name}; {run_dir.path}")
    return results


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
    if FLAGS["drop_at"].using_default_value and any(
        map(values.changed, ("cos", "exp_steps", "schedule"))
    ):
        FLAGS.drop_at = []
    drops = values.numbers("drop_at") if FLAGS.drop_at else ()
    for other in ("cos", "exp_steps", "schedule", "warmup_epochs", "lr_scaling") if drops else ():
        if values.changed(other):
            raise UserError(f"--drop_at and --{other} contradict each other: give one of them")
    if drops and min(drops) <= 0:
        raise UserError(f"--drop_at={','.join(FLAGS.drop_at)}: expected numbers above 0")


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


def make_schedule(steps_per_epoch, total_steps):
    """Returns the learning rate's schedule, step → rate."""
    if FLAGS.drop_at:
        drops = [d * total_steps if d < 1 else d for d in values.numbers("drop_at")]
        schedule = schedules.Milestones(FLAGS.lr, [round(d) for d in drops])
    else:
        schedule = fit_flags.make_schedule(steps_per_epoch)
    return schedules.WarmUp(schedule, FLAGS.warmup_steps) if FLAGS.warmup_steps else schedule
