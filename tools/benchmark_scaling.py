"""Measures how mocotf's training step grows with one of its settings, the others being MoCo v2's.

    python tools/benchmark_scaling.py --vary=batch_size --values=8,16,32 --json
    python tools/benchmark_scaling.py --vary=remat --values=false,true

Each value is a process of its own, and takes the step that tools/benchmark_step.py times; they work in
turns, and wait meanwhile: all must fit the memory together. Linux only.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from mocotf.cli import command  # isort: skip  (first: it keeps TensorFlow's notices off the terminal)

import contextlib
import json
import statistics

from absl import flags

from mocotf.errors import UserError
from mocotf.moco.config import MECHANISMS
from mocotf.nn.resnet import ARCHITECTURES
from tools.peers import environment
from tools.peers.race import median_ratio
from tools.peers.race import race
from tools.peers.race import start_sides

STEP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers", "step_ours.py")
VARIED = ("batch_size", "moco_k", "bn_splits", "replicas", "remat", "mechanism")
SETTINGS = ("arch", "image_size", "precision", *VARIED)

FLAGS = flags.FLAGS
flags.DEFINE_enum("vary", "batch_size", VARIED, "The setting that changes.")
flags.DEFINE_list("values", ["8", "16", "32"], "Its values; others are compared with the first.")
flags.DEFINE_enum("precision", "float32", ["float32", "mixed_bfloat16"], "Of the encoders.")
flags.DEFINE_enum("arch", "resnet50", list(ARCHITECTURES), "Backbone.")
flags.DEFINE_integer("image_size", 224, "Side of a view, pixels.", lower_bound=8)
flags.DEFINE_integer("batch_size", 16, "Images a step, over all replicas.", lower_bound=1)
flags.DEFINE_integer("moco_k", 65536, "Keys in the queue.", lower_bound=1)
flags.DEFINE_integer("bn_splits", 1, "BN groups of a replica's batch.", lower_bound=1)
flags.DEFINE_integer("replicas", 1, "Logical devices the CPU is split into.", lower_bound=1)
flags.DEFINE_enum("mechanism", "moco", list(MECHANISMS), "As the flag of mocotf.train.")
flags.DEFINE_bool("remat", False, "As the flag of mocotf.train.")
flags.DEFINE_integer("rounds", 7, "Rounds.", lower_bound=1)


def main():
    fixed = {name: FLAGS[name].value for name in SETTINGS}
    cases = {text: fixed | {FLAGS.vary: parse(FLAGS.vary, text)} for text in FLAGS.values}
    for case in cases.values():
        check(case)
    with contextlib.ExitStack() as stack:
        sides = start_sides(
            stack, {text: [sys.executable, STEP, json.dumps(case)] for text, case in cases.items()}
        )
        begun = {text: side.ask("begin 3") for text, side in sides.items()}
        answers = race(sides, FLAGS.rounds, "step")
    results = fixed | {"vary": FLAGS.vary, "rounds": FLAGS.rounds, "machine": environment.machine()}
    results["versions"] = environment.versions(("tensorflow", "keras"))
    first = next(iter(answers.values()))
    results["cases"] = {
        text: summary(case["batch_size"], answers[text], first, begun[text])
        for text, case in cases.items()
    }
    show(results["cases"])
    command.print_json(results)


def parse(name, text):
    """Returns the value of a setting that a text stands for.

    Raises:
        UserError: there is none.
    """
    try:
        return FLAGS[name].parser.parse(text)
    except ValueError as error:
        raise UserError(f"--values={','.join(FLAGS.values)}: {text}: {error}") from error


def check(case):
    """Checks a case's settings against each other."""
    unit = case["replicas"] * case["bn_splits"]
    if case["batch_size"] % unit:
        raise UserError(
            f"batch_size {case['batch_size']}: expected a multiple of {unit}, replicas x bn_splits"
        )
    if case["mechanism"] == "moco" and case["moco_k"] < case["batch_size"]:
        raise UserError(f"moco_k {case['moco_k']}: expected at least batch_size {case['batch_size']}")


def summary(images, seconds, first, begun):
    """Returns the numbers of one case.

    Args:
        images: a step.
        seconds: of a step, round by round.
        first: those of the case that is compared with.
        begun: what its process answers after its first steps.
    """
    median = statistics.median(seconds)
    return {
        "step_ms": 1e3 * median,
        "step_ms_min": 1e3 * min(seconds),
        "step_ms_max": 1e3 * max(seconds),
        "images_per_second": images / median,
        "times_first": median_ratio(first, seconds),
    } | begun


def show(cases):
    """Prints the table."""
    columns = ("step_ms", "step_ms_min", "step_ms_max", "images_per_second", "times_first", "peak_mb")
    print(f"{FLAGS.vary:>12}" + "".join(f"{name:>19}" for name in columns))
    for text, case in cases.items():
        print(f"{text:>12}" + "".join(f"{case[name]:19.2f}" for name in columns))


if __name__ == "__main__":
    command.run(main)
