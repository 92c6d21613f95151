"""From a grid to its runs: which there are, with which flags, how long they will take."""

import dataclasses
import os

from absl import flags
from absl.testing import flagsaver

from mocotf.cli import train_flags
from mocotf.errors import UserError
from mocotf.training.run_dir import FLAGS_FILE
from mocotf.training.run_dir import RunDir
from mocotf.training.run_dir import read_flags
from tools.ablations.grids import GROUPS
from tools.ablations.grids import REDUCED_EPOCHS

FLAGS = flags.FLAGS
WHOLE = ("default", "reduced")  # grids of all groups
RECORDS = 50  # of a run in metrics.jsonl
# Measured with flags/demo.cfg on two cores: seconds of one core to start, compile and measure kNN
# twice, and for an image; by mechanism, as many times that.
START, IMAGE = 27, 0.00125
COST = {"end_to_end": 1.5, "memory_bank": 0.7, "npid": 0.7}
CORES_OF_ONE = 1.3  # that a run by itself keeps busy


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of mocotf.train.

    Attributes:
        name: of its folder in --out; says what differs from the base recipe.
        title: for people, without the seed.
        seed: its.
        flags: name → text of all its flags.
        steps: it takes in all.
        watched: accuracy is measured on the way, not only at both ends.
    """

    name: str
    title: str
    seed: int
    flags: dict[str, str] = dataclasses.field(compare=False, repr=False)
    steps: int
    watched: bool

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
    known = [group.name for group in GROUPS]
    names = known if grid in WHOLE else grid.split(",")
    for name in names:
        if name not in known:
            raise UserError(
                f"--grid={grid}: no group {name}; expected {', '.join(WHOLE)}, or some of "
                f"{','.join(known)}"
            )
    return [group for group in GROUPS if group.name in names]


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
    base = _decisive(_flags_of("", steps_per_epoch, reduced)[0])
    known, tables = {}, []
    for group in groups:
        rows = []
        for row in group.rows:
            if reduced and not row.reduced:
                continue
            title = f"{group.name}: {row.name}"
            try:
                found, steps = _flags_of(row.flags, steps_per_epoch, reduced, row.flags in watched)
            except UserError as error:
                raise UserError(f"{title}: {error}") from error
            name = _name(base, _decisive(found))
            runs = []
            for seed in range(row.reduced) if seeds is None else seeds:
                run_name = f"{name}_seed={seed}"
                if run_name not in known:
                    own = found | {"seed": str(seed)}
                    own["intra_op_threads"] = _threads_of(os.path.join(out, run_name), threads)
                    known[run_name] = Run(run_name, title, seed, own, steps, row.flags in watched)
                runs.append(known[run_name])
            rows.append((row, runs))
        tables.append((group, rows))
    return tables


def runs_of(tables):
    """Returns the `Run`s of all rows, each once, in order."""
    return list({run.name: run for _, rows in tables for _, runs in rows for run in runs}.values())


def check_folders(runs, out):
    """Holds the folders that are there against the flags.

    Raises:
        UserError: as mocotf.train's: one holds another run.
    """
    for run in runs:
        folder = os.path.join(out, run.name)
        if os.path.exists(os.path.join(folder, FLAGS_FILE)):
            RunDir(folder, run.flags, neutral=train_flags.NEUTRAL)


def seconds(runs, jobs):
    """Returns how long the runs will take, so many at a time, about."""
    cores = min(os.cpu_count(), CORES_OF_ONE * jobs)
    return sum(run.core_seconds for run in runs) / cores


def _flags_of(text, steps_per_epoch, reduced, watched=False):
    """Returns name → text of all flags of a row without its seed, and its steps."""
    with flagsaver.flagsaver():
        base_batch = FLAGS.batch_size
        _parse(text.replace("%", ""))
        per_epoch = max(1, steps_per_epoch(FLAGS.batch_size))
        if FLAGS.steps:  # of the base's batch: as many images
            FLAGS.steps = max(1, FLAGS.steps * base_batch // FLAGS.batch_size)
        elif reduced:
            FLAGS.epochs = REDUCED_EPOCHS
        steps = FLAGS.steps or FLAGS.epochs * per_epoch
        epochs = steps / per_epoch
        if "%" in text:
            FLAGS.schedule = [f"{float(share) / 100 * epochs:g}" for share in FLAGS.schedule]
        FLAGS.log_every = max(1, steps // RECORDS)
        FLAGS.knn_every = max(1, round(epochs / 10) if watched else -int(-epochs // 1))
        FLAGS.keep_checkpoints = 1
        train_flags.check()
        return train_flags.resolved(), steps


def _parse(text):
    for word in text.split():
        name, _, value = word.removeprefix("--").partition("=")
        if name not in FLAGS:
            raise UserError(f"{word}: mocotf.train has no flag --{name}")
        try:
            FLAGS[name].parse(value)
        except flags.Error as error:
            raise UserError(str(error)) from error


def _decisive(found):
    return {name: text for name, text in found.items() if name not in train_flags.NEUTRAL}


def _name(base, own):
    different = [name for name in sorted(own) if own[name] != base.get(name)]
    return "_".join(f"{name}={own[name].replace(',', '-')}" for name in different) or "base"


def _threads_of(folder, threads):
    config = os.path.join(folder, FLAGS_FILE)
    if os.path.exists(config):
        return read_flags(config).get("intra_op_threads", str(threads))
    return str(threads)
