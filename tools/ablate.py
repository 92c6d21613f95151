"""Runs a grid of pre-trainings that differ in one thing each, and makes tables and figures of them.

    python tools/ablate.py --grid=reduced --flagfile=flags/demo.cfg --out=runs/ablations --jobs=2
    python tools/ablate.py --grid=momentum,queue --flagfile=flags/demo.cfg --out=runs/ablations --list

The grids are in tools/ablations/grids.py. Every flag of mocotf.train is taken too: together they are
the base recipe, and each row of a grid changes some. A run is a process of its own with a folder of its
own in --out, which `tensorboard --logdir` shows; its output is in --out/logs. The same command again
runs only what is not done, and goes on with what is half done. --out/results.json has all numbers;
given as --earlier, it lets another machine do the rest.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from mocotf.cli import command  # isort: skip  (first: it keeps TensorFlow's notices off the terminal)

import json

import tensorflow as tf
from absl import flags

from mocotf.cli import arguments
from mocotf.cli import train_flags
from mocotf.data.sources.open import open_source
from mocotf.errors import UserError
from mocotf.files import atomic_write
from mocotf.settings import texts_of
from tools.ablations import outcomes
from tools.ablations import page
from tools.ablations import plan
from tools.ablations import running
from tools.ablations.diary import Diary
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
flags.DEFINE_string(
    "earlier",
    None,
    "results.json of an earlier sitting, on this machine or another: the runs that it has are not run "
    "again.",
)
flags.DEFINE_string(
    "markdown",
    None,
    "Document that tables and figures are written into: a new one, or between markers.",
)
flags.DEFINE_bool("run", True, "Run what is not done; --norun makes the tables of what is.")
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
    base = train_flags.read().saved
    earlier = outcomes.read_earlier(FLAGS.earlier, base, out)
    waiting = [r for r in runs if not outcomes.finished(r, out) and r.name not in earlier.runs]
    if not (FLAGS.run or FLAGS.list) and len(waiting) == len(runs):
        raise UserError(f"--norun: no run of --grid={FLAGS.grid} is done in --out={FLAGS.out}")
    if FLAGS.list:
        show_plan(runs, waiting, out)
    show_estimate(runs, waiting)
    if FLAGS.list:
        command.print_json({"grid": FLAGS.grid, "runs": len(runs), "waiting": len(waiting)})
        return 0
    os.makedirs(out, exist_ok=True)
    if FLAGS.markdown:
        page.prepare(FLAGS.markdown, groups)

    # ---- Run
    diary = Diary(out, FLAGS.grid, runs, waiting, FLAGS.jobs)
    if FLAGS.run:
        try:
            running.run_all(waiting, out, FLAGS.jobs, diary.note)
        finally:
            diary.close()

    # ---- Tell
    sitting = {
        "jobs": FLAGS.jobs,
        "seconds": round(diary.whole, 1),
        "machine": environment.machine(),
        "versions": environment.versions(("tensorflow", "keras")),
    }
    here = any(outcomes.finished(run, out) for run in runs)
    results = {
        "grid": FLAGS.grid,
        "sittings": earlier.sittings + ([sitting] if here else []),
        "base": texts_of(base),
    } | outcomes.collect(tables, out, diary.failed, diary.seconds, earlier.runs)
    path = os.path.join(out, "results.json")
    atomic_write(path, json.dumps(results, indent=1, allow_nan=False) + "\n")
    show(results)
    if FLAGS.markdown:
        page.write(FLAGS.markdown, results)
    command.print_json(summary(results, path))
    return 1 if diary.failed else 0


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
    found = {"grid": results["grid"], "seconds": sum(one["seconds"] for one in results["sittings"])}
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
