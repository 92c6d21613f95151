"""The flags that `mocotf.detect` and `mocotf.segment` share, and the runs that they describe."""

import dataclasses
import os
from typing import NamedTuple

from mocotf import terminal
from mocotf.api.data import say
from mocotf.api.supervised import TRAINING
from mocotf.api.supervised import training_of
from mocotf.cli import settings_flags
from mocotf.data.settings import DataSettings
from mocotf.errors import UserError
from mocotf.evaluation.settings import PretrainedSettings
from mocotf.optim import schedules
from mocotf.optim.settings import LayerRateSettings
from mocotf.settings import Settings
from mocotf.training.host import configure_host
from mocotf.training.progress import Course
from mocotf.training.progress import Every
from mocotf.training.settings import TrainingSettings
from mocotf.training.strategy import check_divides
from mocotf.training.strategy import make_strategy
from mocotf.transfer.run import Transfer
from mocotf.transfer.settings import RANDOM
from mocotf.transfer.settings import ComparisonSettings
from mocotf.transfer.settings import TransferSettings
from mocotf.transfer.start import check_alike
from mocotf.transfer.start import open_start

# Flags of all commands that train or read images, which do nothing here; with what to give instead.
IDLE = {
    "epochs": "give --steps",
    "host_ops": "drop it",
    "upright": "drop it, for boxes and masks say how images lie",
    "files": "drop it",
    "num_images": "for a part of the images give --train_images",
}
SCHEDULES = ("cos", "exp_steps", "schedule")  # which take the place of a default of --drop_at
OWN = (TransferSettings, LayerRateSettings, ComparisonSettings)
settings_flags.define(DataSettings, PretrainedSettings, *TRAINING, *OWN, hidden=IDLE)


class Flags(NamedTuple):
    """The settings of a transfer run."""

    training: TrainingSettings
    pretrained: PretrainedSettings
    data: DataSettings
    transfer: TransferSettings
    rates: LayerRateSettings
    comparison: ComparisonSettings
    own: Settings

    @property
    def saved(self):
        """All of them, as a run directory takes them."""
        return (*self.training, *self[1:])


def read(own, example):
    """Returns the `Flags`.

    Args:
        own: class of the command's own settings.
        example: see `training_of`.

    Raises:
        UserError: they contradict each other.
    """
    asked = settings_flags.asked()
    training, pretrained = training_of(asked, example)
    data = asked.unchecked(DataSettings)
    found = Flags(training, pretrained, data, *map(asked.read, OWN), asked.read(own))
    given, transfer, comparison = asked.given, found.transfer, found.comparison
    for name, instead in IDLE.items():
        if any(part.changed(name, given) for part in found.saved if hasattr(part, name)):
            raise UserError(f"--{name} does nothing here: {instead}")
    changed = [
        name
        for name in (*SCHEDULES, "warmup_epochs", "lr_scaling")
        if training.optimisation.changed(name, given)
    ]
    if "drop_at" not in given and set(changed) & set(SCHEDULES):
        found = found._replace(transfer=dataclasses.replace(transfer, drop_at=()))
    elif transfer.drop_at and changed:
        raise UserError(f"--drop_at and --{changed[0]} contradict each other: give one of them")
    for part, name, instead in (
        (training.run, "seed", "give --seeds"),
        (pretrained, "untrained", f"give --compare={RANDOM}"),
    ):
        if comparison.compare and part.changed(name, given):
            raise UserError(f"--{name} does nothing with --compare: {instead}")
    return found


def check_taken_whole(dataset, transfer):
    """Refuses a number of images of a data set that has no part of them.

    Args:
        dataset: its name.
        transfer: `TransferSettings`.

    Raises:
        UserError: so.
    """
    for flag in ("train_images", "test_images"):
        if getattr(transfer, flag):
            raise UserError(
                f"--{flag} does nothing with --dataset={dataset}, which is taken whole: drop it"
            )


def run(settings, make_job):
    """Trains what the flags ask for: one run, or those of a comparison; returns the results.

    Args:
        settings: `Flags`.
        make_job: () → `Job`, called once the flags are found to be good.

    Raises:
        UserError: they are not.
    """
    training, comparison = settings.training, settings.comparison
    configure_host(training.devices)
    strategy = make_strategy(training.devices.strategy, training.devices.num_logical_devices)
    check_divides(training.optimisation.batch_size, strategy.num_replicas_in_sync)
    starts = open_starts(settings)
    with terminal.phase("reading the data set"):
        job = make_job()
    say(settings.data, job.images)
    steps_per_epoch = training.optimisation.steps_per_epoch(job.images.size)
    schedule = make_schedule(training.optimisation, settings.transfer, steps_per_epoch)
    every = settings.transfer.evaluate_every or training.optimisation.steps
    course = Course.of(training, steps_per_epoch, schedule, measure=Every(every))
    transfer = Transfer(job, course, training, settings.rates.factors, strategy, settings.saved)
    if comparison.compare:
        return transfer.compare(starts, training.run.model_dir, comparison.seeds)
    return transfer.train(*starts, training.run.model_dir, training.run.seed)


def open_starts(settings):
    """Returns the `Start`s that `Flags` name, which are alike."""
    path, trained = settings.pretrained.pretrained, not settings.pretrained.untrained
    compared = settings.comparison.compare
    if not compared:
        return [open_start(path, trained=trained)]
    starts = [open_start(path, trained=False)]
    # One run, however its path is written, is one start.
    different = {}
    for one in (path, *compared):
        if one != RANDOM:
            different.setdefault(os.path.realpath(one), one)
    starts += map(open_start, different.values())
    check_alike(starts)
    return starts


def make_schedule(optimisation, transfer, steps_per_epoch):
    """Returns the learning rate's schedule, step → rate."""
    if transfer.drop_at:
        steps = [round(d * optimisation.steps if d < 1 else d) for d in transfer.drop_at]
        schedule = schedules.Milestones(optimisation.lr, steps)
    else:
        schedule = optimisation.make_schedule(steps_per_epoch)
    return schedules.WarmUp(schedule, transfer.warmup_steps) if transfer.warmup_steps else schedule
