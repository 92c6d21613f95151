"""Trains on collections of pictures, and makes tables of what was chosen for them and what was learned.

    make packages
    python tools/recipes.py --collections=patches,clipart,photos --minutes=15 --out=runs/recipes \
        --markdown=docs/reference/recipes.md
    python tools/recipes.py --collections=photos --minutes=5,15 --out=runs/other \
        --variant='auto:' --variant='slow: --lr=0.03' -- --knn_every=0

What follows -- are flags of mocotf.train that all runs are given; each --variant has more. A run is a
process of its own, with a folder of its own in --out; its output is in --out/logs. The same command
again runs only what is not done, and goes on with what is half done. --out/results.json has all
numbers.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from mocotf.cli import command  # isort: skip  (first: it keeps TensorFlow's notices off the terminal)

import tensorflow as tf
from absl import flags

from mocotf.errors import UserError
from mocotf.json_files import read_json
from mocotf.json_files import write_json
from mocotf.training.flags_file import FLAGS_FILE
from mocotf.training.flags_file import read_flags
from tools import markers
from tools.ablations import outcomes
from tools.ablations import running
from tools.peers import environment
from tools.pictures import place_flags
from tools.pictures.registry import make
from tools.trials import page
from tools.trials import plan

FLAGS = flags.FLAGS
flags.DEFINE_list(
    "collections",
    ["cifar10_10x500", "cifar10_10x1000", "cifar10_4x250", "patches", "clipart", "photos"],
    "Names of tools/make_collection.py, or folders in --folders; NAME:MINUTES for another length.",
)
flags.DEFINE_string(
    "folders", "runs/collections", "Where the folders of collections are; those not there are made."
)
flags.DEFINE_list("minutes", [], "For --minutes of mocotf.train. Default: not given.")
flags.DEFINE_multi_string("variant", [], "'NAME: FLAGS': more flags; each variant is a row.")
flags.DEFINE_list("seeds", ["0", "1", "2"], "Of each row.")
flags.DEFINE_string("out", "runs/recipes", "Folder of the runs, their logs and results.json.")
flags.DEFINE_integer("jobs", 1, "Runs at a time; the cores are shared out to them.", lower_bound=1)
flags.DEFINE_bool("run", True, "Run what is not done; --norun makes the tables of what is.")
flags.DEFINE_string("markdown", None, "Document that the tables are written into.")
flags.adopt_module_key_flags(place_flags)


def main(*words):
    # ---- What was asked for, checked before anything is run
    tf.config.set_visible_devices([], "GPU")  # they are the runs'
    if bad := [seed for seed in FLAGS.seeds if not seed.isdecimal()]:
        raise UserError(f"--seeds={','.join(FLAGS.seeds)}: {bad[0]!r}: expected whole numbers")
    if FLAGS.markdown:
        markers.check(FLAGS.markdown, page.PROGRAM, page.BLOCKS)
    out = os.path.abspath(FLAGS.out)
    lengths = plan.lengths_of(FLAGS.collections, FLAGS.minutes)
    folders = {name: os.path.join(FLAGS.folders, name) for name in lengths}
    trials = plan.expand(
        folders,
        lengths,
        plan.variants_of(FLAGS.variant),
        list(map(int, FLAGS.seeds)),
        words,
    )
    runs = [run for trial in trials for run in trial.runs]
    plan.check_same(runs, out)
    collections = {name: make(name, folder, place_flags.read()) for name, folder in folders.items()}

    # ---- Run
    waiting = [run for run in runs if not outcomes.finished(run, out)]
    print(f"{len(runs)} runs, {len(runs) - len(waiting)} of them done", flush=True)
    times, failed = Times(out), set()

    def ended(run, code, seconds):
        times.add(run, seconds)
        if code is None:
            return
        if code:
            failed.add(run.name)
            told = running.failure(run, out, code, seconds)
        else:
            told = f"{seconds:.0f} s"
        print(f"{run.title}, seed {run.seed}: {told}", flush=True)

    if FLAGS.run:
        running.run_all(waiting, out, FLAGS.jobs, ended)

    # ---- Tell
    results = {
        "jobs": FLAGS.jobs,
        "flags": words,
        "machine": environment.machine(),
        "versions": environment.versions(("tensorflow", "keras")),
        "collections": collections,
        "rows": [
            {
                "collection": trial.collection,
                "minutes": trial.minutes,
                "variant": trial.variant,
                "runs": [run.name for run in trial.runs],
            }
            for trial in trials
        ],
        "runs": {run.name: outcome(run, out, run.name in failed, times) for run in runs},
    }
    write_json(os.path.join(out, "results.json"), results)
    for row in results["rows"]:
        print(page.line(row, results["runs"]))
    if FLAGS.markdown:
        markers.write(FLAGS.markdown, page.PROGRAM, page.blocks(results))
    command.print_json(results)
    return 1 if failed else 0


class Times:
    """Seconds of the runs, kept in --out/times.json over interruptions.

    Args:
        out: folder of the runs.
    """

    def __init__(self, out):
        self._path = os.path.join(out, "times.json")
        self.seconds = read_json(self._path)

    def add(self, run, seconds):
        """Adds seconds to those of a run."""
        self.seconds = read_json(self._path)  # another program may run others into this folder
        self.seconds[run.name] = round(self.seconds.get(run.name, 0) + seconds, 1)
        write_json(self._path, self.seconds)


def outcome(run, out, failed, times):
    """Returns what is known of a run: its results, and the flags that it ran with."""
    known = {"seed": run.seed, "seconds": times.seconds.get(run.name)}
    if not outcomes.finished(run, out):
        return known | {"state": "failed" if failed else "not run"}
    folder = os.path.join(out, run.name)
    return (
        known
        | {"state": "done", "flags": read_flags(os.path.join(folder, FLAGS_FILE))}
        | read_json(os.path.join(folder, "results.json"))
    )


if __name__ == "__main__":
    command.run(main, positional=None)
