"""Measures what each faster kernel gives a training step: the step with and without it, in turns.

    python tools/benchmark_kernels.py --batch_size=32 --json

Both steps are of one process; which is first changes from round to round. A ratio is how many times
faster the step is with the kernel, round by round. Entries are those of mocotf/nn/kernels/policy.py for
this device, unless some are named.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from mocotf.cli import command  # isort: skip  (first: it keeps TensorFlow's notices off the terminal)

import gc
import statistics

from absl import flags

from mocotf.nn.kernels import policy
from mocotf.nn.resnet import ARCHITECTURES
from tools.peers import environment
from tools.peers import step_ours
from tools.peers.race import race
from tools.peers.race import ratios
from tools.peers.serve import seconds

PRECISIONS = ("float32", "mixed_bfloat16")
SETTINGS = ("arch", "moco_k", "batch_size", "bn_splits", "image_size", "precision")
UNTIMED = 2  # steps that trace and compile

FLAGS = flags.FLAGS
flags.DEFINE_multi_enum("entry", None, list(policy.ENTRIES), "What to do without; may be repeated.")
flags.DEFINE_enum("precision", "float32", PRECISIONS, "Of the encoders.")
flags.DEFINE_enum("arch", "resnet50", list(ARCHITECTURES), "Backbone.")
flags.DEFINE_integer("image_size", 224, "Side of a view, pixels.", lower_bound=8)
flags.DEFINE_integer("batch_size", 32, "Images a step.", lower_bound=1)
flags.DEFINE_integer("bn_splits", 1, "BN groups.", lower_bound=1)
flags.DEFINE_integer("moco_k", 65536, "Keys in the queue.", lower_bound=1)
flags.DEFINE_integer("rounds", 7, "Rounds.", lower_bound=1)
flags.DEFINE_integer("steps", 1, "Steps a side takes in a round.", lower_bound=1)


class Side:
    """A step that some kernels are left out of; `ask` as of `tools.peers.race.Side`."""

    def __init__(self, *left_out):
        with policy.without(*left_out):
            self._bench = step_ours.Bench(**{name: FLAGS[name].value for name in SETTINGS})
            self.ask(UNTIMED)

    def ask(self, steps):
        """Returns the seconds that so many steps take."""
        return seconds(self._bench.step, steps, step_ours.settle)


def main():
    step_ours.prepare()
    results = {name: FLAGS[name].value for name in (*SETTINGS, "rounds", "steps")}
    results |= {"machine": environment.machine(), "ratios": {}}
    own = [entry for entry in policy.ENTRIES if entry.startswith("xla_") != policy.on_cpu()]
    with_all = Side()
    print(f"{'without':<20} {'ratio':>6} {'lowest':>7} {'highest':>8}", flush=True)
    for entry in FLAGS.entry or own:
        sides = {"with": with_all, "without": Side(entry)}
        race(sides, UNTIMED, 1)  # the first step after another was built is slow
        answers = race(sides, FLAGS.rounds, FLAGS.steps)
        found = ratios(answers["with"], answers["without"])
        row = {"median": statistics.median(found), "min": min(found), "max": max(found)}
        results["ratios"][entry] = row
        print(f"{entry:<20} {row['median']:>6.3f} {row['min']:>7.3f} {row['max']:>8.3f}", flush=True)
        del sides
        gc.collect()
    command.print_json(results)


if __name__ == "__main__":
    command.run(main)
