"""From a grid to its runs: which there are, with which flags, how long they will take."""

import dataclasses
import functools
import os

from absl import flags

from mocotf.cli import train_flags
from mocotf.errors import UserError
from mocotf.settings import texts_of
from mocotf.settings import with_values
from mocotf.training.flags_file import FLAGS_FILE
from mocotf.training.flags_file import is_run
from mocotf.training.flags_file import read_flags
from mocotf.training.run_dir import RunDir
from tools.ablations.grids import GROUPS
from tools.ablations.grids import REDUCED_EPOCHS
from tools.ablations.signs import LONGER
from tools.ablations.signs import SIGNS

FLAGS = flags.FLAGS
WHOLE = ("default", "reduced")  # grids of all groups
RECORDS = 50  # of a run in metrics.jsonl
# Measured with flags/demo.cfg on two cores: seconds of one core to start, compile and measure kNN
# twice, and for an image; by mechanism, as many times that.
START, IMAGE = 27, 0.00125
COST = {"end_to_end": 1.5, "memory_bank": 0.7, "npid": 0.7, "simclr": 1.4, "simsiam": 1.4}
CORES_OF_ONE = 1.3  # that a run by itself keeps busy


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of mocotf.train.

    Attributes:
        name: of its folder in --out; says what differs from the base recipe.
        title: for people, without the seed.
        seed: its.
        settings: all its `Settings`.
        steps: it takes in all.
        watched: accuracy is measured on the way, not only at both ends.
    """

    name: str
    title: str
    seed: int
    settings: tuple = dataclasses.field(compare=False, repr=False)
    steps: int
    watched: bool

    @functools.cached_property
    def flags(self):
        """Name → text of all its flags."""
        return texts_of(self.settings)

    @property
    def core_seconds(self):
        """How long one core of two would take for it, about."""
        cost = COST.get(self.flags.get("mechanism"), 1) * (
            1.8 if self.flags["symmetric"] == "true" else 1
        )
        return START + IMAGE * self.steps * int(self.flags["batch_size"]) * cost


def choose(grid):
    """Returns the groups that --grid names, in their own order.

    Raises:
        UserError: it names one that is not there.
    """
    groups = {group.name: group for group in (*GROUPS, SIGNS, LONGER)}
    known = list(groups)
    names = [group.name for group in GROUPS] if grid in WHOLE else grid.split(",")
    for name in names:
        if name not in known:
            raise UserError(
                f"--grid={grid}: no group {name}; expected {', '.join(WHOLE)}, or some of "
                f"{','.join(known)}"
            )
    return [group for name, group in groups.items() if name in names]


def expand(groups, out, steps_per_epoch, *, seeds, reduced, threads):
    """Returns group, and of each of its rows the row and its list of `Run`s: [(group, [(row, runs)])].

    Rows with equal flags share their runs. The base recipe is that of the flags given.

    Args:
        groups: `Group`s.
        out: folder of the runs.
        steps_per_epoch: batch size → steps.
        seeds: of every row; None: those of `Row.reduced`.
        reduced: leave out rows without such seeds, and cut runs to `REDUCED_EPOCHS` unless --steps is
            given.
        threads: of a run that has not begun; one that has keeps its number, which decides its sums.

    Raises:
        UserError: mocotf.train would refuse the flags of a row.
    """
    watched = {row.flags for group in GROUPS if group.figures == "steps" for row in group.rows}
    base = _settings_of("", steps_per_epoch, reduced)[0].texts()
    known, tables = {}, []
    for group in groups:
        rows = []
        for row in group.rows:
            if reduced and not row.reduced:
                continue
            title = f"{group.name}: {row.name}"
            try:
                found, steps = _settings_of(row.flags, steps_per_epoch, reduced, row.flags in watched)
            except UserError as error:
                raise UserError(f"{title}: {error}") from error
            name = _name(base, found.texts())
            runs = []
            for seed in range(row.reduced) if seeds is None else seeds:
                run_name = f"{name}_seed={seed}"
                if run_name not in known:
                    own = {"intra_op_threads": _threads_of(os.path.join(out, run_name), threads)}
                    own = tuple(with_values(found.saved, own | {"seed": seed}))
                    known[run_name] = Run(run_name, title, seed, own, steps, row.flags in watched)
                runs.append(known[run_name])
            rows.append((row, runs))
        tables.append((group, rows))
    return tables


def runs_of(tables):
    """Returns the `Run`s of all rows, each once, in order."""
    return list({run.name: run for _, rows in tables for _, runs in rows for run in runs}.values())


def check_folders(runs, out):
    """Checks the folders that are there against the flags.

    Raises:
        UserError: as mocotf.train's: one holds another run.
    """
    for run in runs:
        folder = os.path.join(out, run.name)
        if is_run(folder):
            RunDir(folder, run.settings)


def seconds(runs, jobs):
    """Returns how long the runs will take, so many at a time, about."""
    cores = min(os.cpu_count(), CORES_OF_ONE * jobs)
    return sum(run.core_seconds for run in runs) / cores


def _settings_of(text, steps_per_epoch, reduced, watched=False):
    """Returns the `Pretraining` of a row without its seed, and its steps."""
    base = train_flags.read().training.optimisation
    own, share = _parse(text.replace("%", "")), 1.0
    if "--epochs=" in text:  # of the base's
        share = int(own["epochs"]) / 100
        own["epochs"] = max(1, round(share * base.epochs))
    asked = train_flags.read(own).training.optimisation
    per_epoch = max(1, steps_per_epoch(asked.batch_size))
    if asked.steps:  # of the base's batch: as many images
        own["steps"] = max(1, int(share * asked.steps * base.batch_size // asked.batch_size))
    elif reduced:
        own["epochs"] = REDUCED_EPOCHS
    steps = train_flags.read(own).training.optimisation.total_steps(per_epoch)
    epochs = steps / per_epoch
    if "--schedule=" in text:
        own["schedule"] = tuple(share / 100 * epochs for share in asked.schedule)
    own["log_every"] = max(1, steps // RECORDS)
    own["knn_every"] = max(1, round(epochs / 10) if watched else -int(-epochs // 1))
    own["keep_checkpoints"] = 1
    return train_flags.read(own), steps


def _parse(text):
    own = {}
    for word in text.split():
        name, equals, value = word.removeprefix("--").partition("=")
        if name not in FLAGS:
            raise UserError(f"{word}: mocotf.train has no flag --{name}")
        own[name] = value if equals else "true"
    return own


def _name(base, own):
    different = [name for name in sorted(own) if own[name] != base.get(name)]
    return "_".join(f"{name}={own[name].replace(',', '-')}" for name in different) or "base"


def _threads_of(folder, threads):
    if is_run(folder):
        return int(read_flags(os.path.join(folder, FLAGS_FILE)).get("intra_op_threads", threads))
    return threads
