"""Runs a grid of pre-trainings that differ in one thing each, and makes tables and figures of them.

    python tools/ablate.py --grid=reduced --flagfile=flags/demo.cfg --out=runs/ablations --jobs=2
    python tools/ablate.py --grid=momentum,queue --flagfile=flags/demo.cfg --out=runs/ablations --list

The grids are in tools/ablations/grids.py. Every flag of mocotf.train is taken too: together they are
the base recipe, and each row of a grid changes some. A run is a process of its own with a folder of its
own in --out, which `tensorboard --logdir` shows; its output is in --out/logs. The same command again
runs only what is not done, and goes on with what is half done. --out/results.json has all numbers.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from mocotf.cli import command  # isort: skip  (first: it keeps TensorFlow's notices off the terminal)

import json
import time

import tensorflow as tf
from absl import flags

from mocotf.cli import arguments
from mocotf.cli import train_flags
from mocotf.data.sources.open import open_source
from mocotf.errors import UserError
from mocotf.files import atomic_write
from mocotf.settings import texts_of
from tools import markers
from tools.ablations import outcomes
from tools.ablations import page
from tools.ablations import plan
from tools.ablations import running
from tools.peers import environment

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "grid",
    "reduced",
    "default: all groups of rows, three seeds, whole runs; reduced: a cut for 20 minutes on two cores; "
    "or names of groups, separated by commas.",
)
flags.DEFINE_string("out", "runs/ablations", "Folder of the runs, their logs and results.json.")
flags.DEFINE_list("seeds", None, "Of each row. Default: 0,1,2; of the reduced grid, its own.")
flags.DEFINE_integer("jobs", 1, "Runs at a time; the cores are shared out to them.", lower_bound=1)
flags.DEFINE_string("markdown", None, "Document that tables and figures are written into.")
flags.DEFINE_bool("list", False, "Print what would be run, and how long it would take; run nothing.")


def main():
    # ---- What was asked for, checked before anything is run
    tf.config.set_visible_devices([], "GPU")  # they are the runs'
    for name, instead in (("model_dir", "--out"), ("seed", "--seeds")):
        if name in arguments.given():
            raise UserError(f"--{name}: every run of a grid has its own; try {instead}")
    groups = plan.choose(FLAGS.grid)
    reduced = FLAGS.grid == "reduced"
    out = os.path.abspath(FLAGS.out)
    tables = plan.expand(
        groups,
        out,
        open_source(train_flags.read().data).steps_per_epoch,
        seeds=chosen_seeds(reduced),
        reduced=reduced,
        threads=FLAGS.intra_op_threads if FLAGS.jobs == 1 else max(1, os.cpu_count() // FLAGS.jobs),
    )
    runs = plan.runs_of(tables)
    plan.check_folders(runs, out)
    if FLAGS.markdown:
        names = [page.SETUP, *(group.name for group in groups)]
        markers.check(FLAGS.markdown, page.PROGRAM, names)
    waiting = [run for run in runs if not outcomes.finished(run, out)]
    if FLAGS.list:
        show_plan(runs, waiting, out)
    show_estimate(runs, waiting)
    if FLAGS.list:
        command.print_json({"grid": FLAGS.grid, "runs": len(runs), "waiting": len(waiting)})
        return 0

    # ---- Run
    diary = Diary(out, runs, waiting)
    began = time.monotonic()
    try:
        running.run_all(waiting, out, FLAGS.jobs, diary.note)
    finally:
        diary.close(time.monotonic() - began)

    # ---- Tell
    results = {
        "grid": FLAGS.grid,
        "jobs": FLAGS.jobs,
        "seconds": round(diary.whole[FLAGS.grid], 1),
        "machine": environment.machine(),
        "versions": environment.versions(("tensorflow", "keras")),
        "base": texts_of(train_flags.read().saved),
    } | outcomes.collect(tables, out, diary.failed, diary.seconds)
    path = os.path.join(out, "results.json")
    atomic_write(path, json.dumps(results, indent=1, allow_nan=False) + "\n")
    show(results)
    if FLAGS.markdown:
        page.write(FLAGS.markdown, results)
    command.print_json(summary(results, path))
    return 1 if diary.failed else 0


class Diary:
    """Tells of runs as they end, and keeps their times in --out/times.json, also over interruptions.

    Args:
        out: folder of the runs.
        runs: all `Run`s of the grid.
        waiting: those to be run.

    Attributes:
        failed: names of the runs that did.
        seconds: name → seconds of a run.
        whole: --grid → seconds in all.
    """

    def __init__(self, out, runs, waiting):
        self._out, self._count, self._left = out, len(runs), list(waiting)
        self._began = time.monotonic()
        self._path = os.path.join(out, "times.json")
        known = {}
        if os.path.exists(self._path):
            with open(self._path, encoding="utf-8") as file:
                known = json.load(file)
        self.failed = []
        self.seconds, self.whole = known.get("runs", {}), known.get("whole", {})
        self._expected = plan.seconds(waiting, FLAGS.jobs)

    def note(self, run, code, seconds):
        """Takes note of a run's end; see `running.run_all`."""
        self.seconds[run.name] = self.seconds.get(run.name, 0) + seconds
        self._save()
        if code is None:
            return
        self._left.remove(run)
        done = f"{self._count - len(self._left)}/{self._count}  {run.title}, seed {run.seed}:"
        if code:
            self.failed.append(run.name)
            print(f"{done} {running.failure(run, self._out, code, seconds)}", flush=True)
            return
        with open(os.path.join(self._out, run.name, "results.json"), encoding="utf-8") as file:
            found = json.load(file)
        knn = f"kNN {found['knn_top1']:.1f}" if "knn_top1" in found else f"loss {found['loss']:.3f}"
        print(f"{done} {knn}, {seconds:.0f} s; {self._rest()}", flush=True)

    def _rest(self):
        if not self._left:
            return "none left"
        left = plan.seconds(self._left, FLAGS.jobs)
        pace = (time.monotonic() - self._began) / max(self._expected - left, 1e-9)
        return f"{len(self._left)} left, about {page.duration(left * pace)}"

    def close(self, seconds):
        """Keeps the time of all."""
        self.whole[FLAGS.grid] = self.whole.get(FLAGS.grid, 0) + seconds
        self._save()

    def _save(self):
        os.makedirs(self._out, exist_ok=True)
        atomic_write(
            self._path, json.dumps({"runs": self.seconds, "whole": self.whole}, indent=1) + "\n"
        )


def chosen_seeds(reduced):
    """Returns the seeds of all rows; None: each row's own.

    Raises:
        UserError: --seeds are no seeds.
    """
    if FLAGS.seeds is None:
        return None if reduced else range(3)
    try:
        return [FLAGS["seed"].parser.parse(text) for text in FLAGS.seeds]
    except ValueError as error:
        raise UserError(f"--seeds={','.join(FLAGS.seeds)}: {error}") from error


def show_plan(runs, waiting, out):
    """Prints what would be run."""
    for run in runs:
        begun = "begun" if os.path.exists(os.path.join(out, run.name)) else "to do"
        state = begun if run in waiting else "done"
        print(f"{state:6} {run.steps:6,} steps  {run.title}, seed {run.seed}  ({run.name})")


def show_estimate(runs, waiting):
    """Prints how much there is to do."""
    about = page.duration(plan.seconds(waiting, FLAGS.jobs))
    print(
        f"{len(runs)} runs, {len(runs) - len(waiting)} of them done; the others take about {about}, "
        f"{FLAGS.jobs} at a time, if each is as flags/demo.cfg is on a quiet machine",
        flush=True,
    )


def show(results):
    """Prints the tables' first columns."""
    for group in results["groups"]:
        print(f"\n{group['title']}: kNN top-1, %")
        for row in group["rows"]:
            found = page.spread_text(outcomes.values_of(row, results["runs"], "knn_top1"))
            print(f"  {row['name']:<58}{found:>12}")


def summary(results, path):
    """Returns what --json prints: of each row mean, standard deviation and number of seeds of kNN."""
    runs = results["runs"]
    states = [run["state"] for run in runs.values()]
    found = {name: results[name] for name in ("grid", "jobs", "seconds")}
    found |= {"results": path, "runs": len(runs), "done": states.count("done")}
    found |= {"failed": states.count("failed"), "groups": {}}
    for group in results["groups"]:
        rows = {row["name"]: outcomes.values_of(row, runs, "knn_top1") for row in group["rows"]}
        found["groups"][group["name"]] = {
            name: dict(zip(("knn_top1", "deviation"), outcomes.spread(own), strict=True))
            | {"seeds": len(own)}
            for name, own in rows.items()
            if own
        }
    return found


if __name__ == "__main__":
    command.run(main)
