"""Measures the search for nearest neighbours, beside scikit-learn's brute force and NumPy.

    python tools/benchmark_knn.py --json

Random features of unit length, float32; all sides return the same k places in the bank, ordered. Each
is a process of its own; they work in turns, in an order that changes from round to round, and wait
meanwhile. Peak memory is that of a process that has searched, the bank in memory included, which
mocotf.knn does not hold. ImageNet's time is projected from all its queries and a part of its bank, for
all is compared in tiles of one size; its whole bank passes by too, with some queries. Linux only.
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
from tools.peers import environment
from tools.peers.race import race
from tools.peers.race import ratios
from tools.peers.race import start_sides

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers", "knn_sides.py")
SIDES = ("mocotf", "sklearn", "numpy")
PART = 16384  # images of the bank, two tiles
IMAGENET = {"bank": 1_281_167, "queries": 50_000}

FLAGS = flags.FLAGS
flags.DEFINE_list("banks", ["10000", "50000", "100000"], "Sizes of the bank, images.")
flags.DEFINE_integer("queries", 1024, "Queries of a round.", lower_bound=8)
flags.DEFINE_integer("width", 2048, "Width of a feature.", lower_bound=1)
flags.DEFINE_integer("neighbours", 200, "Neighbours of each query.", lower_bound=1)
flags.DEFINE_integer("rounds", 5, "Rounds.", lower_bound=1)
flags.DEFINE_bool("imagenet", True, "Measure a bank of ImageNet's length too.")


def main():
    try:
        banks = [int(size) for size in FLAGS.banks]
    except ValueError as error:
        raise UserError(f"--banks={','.join(FLAGS.banks)}: expected some numbers") from error
    if not banks or min(banks) < FLAGS.neighbours:
        raise UserError(
            f"--banks={','.join(FLAGS.banks)}: expected at least --neighbours={FLAGS.neighbours} each"
        )
    results = {name: FLAGS[name].value for name in ("queries", "width", "neighbours", "rounds")}
    results |= {"machine": environment.machine()}
    results["versions"] = environment.versions(("tensorflow", "scikit-learn", "numpy"))
    print("{queries} queries of width {width}, {neighbours} neighbours".format(**results))
    print(
        f"{'bank':>10}{'side':>20}{'queries/s':>12}{'min':>10}{'max':>10}{'ours ×':>9}{'peak MB':>10}"
    )
    results["banks"] = {}
    for bank in banks:
        results["banks"][bank] = measure(bank)
        show(bank, results["banks"][bank])
    if FLAGS.imagenet:
        results["imagenet"] = imagenet()
        line = "{bank:,} images, {queries} queries: {seconds:.0f} s; {part:,} images, 50,000 queries: "
        line += "{all_queries_seconds:.0f} s, {peak_mb:.0f} MB; projected: {projected_seconds:.0f} s"
        print(line.format(**results["imagenet"]))
    command.print_json(results)


def measure(bank):
    """Returns the numbers of all sides with a bank of one size."""
    with contextlib.ExitStack() as stack:
        sides = start_sides(stack, {name: program(name, bank, FLAGS.queries) for name in SIDES})
        places = {name: side.ask("check") for name, side in sides.items()}
        for side in sides.values():
            side.ask("find")
        times = race(sides, FLAGS.rounds, "find")
        memory = {name: side.ask("memory") for name, side in sides.items()}
    found = {}
    for name in SIDES:
        speeds = [FLAGS.queries / s for s in times[name]]
        found[name] = {
            "queries_per_second": statistics.median(speeds),
            "min": min(speeds),
            "max": max(speeds),
            "times_slower": statistics.median(ratios(times["mocotf"], times[name])),
            "same_places": same(places["mocotf"], places[name]),
        } | memory[name]
    return found


def imagenet():
    """Returns the numbers of ImageNet's length: the whole bank with some queries, and all queries with
    a part of the bank, of which the projection is made."""
    with contextlib.ExitStack() as stack:
        side = start_sides(stack, {"mocotf": program("mocotf", PART, FLAGS.queries)})["mocotf"]
        side.ask("find")
        seconds = side.ask(f"stream {IMAGENET['bank']}")
        held = side.ask(f"hold {IMAGENET['queries']}")
    projected = held["seconds"] * IMAGENET["bank"] / PART
    return {
        "bank": IMAGENET["bank"],
        "queries": FLAGS.queries,
        "seconds": seconds,
        "part": PART,
        "all_queries_seconds": held["seconds"],
        "projected_seconds": projected,
        "projected_queries_per_second": IMAGENET["queries"] / projected,
        "peak_mb": held["peak_mb"],
    }


def program(side, bank, queries):
    """Returns the command of a side."""
    options = {"side": side, "bank": bank, "queries": queries}
    options |= {"width": FLAGS.width, "k": FLAGS.neighbours}
    return [sys.executable, PROGRAM, json.dumps(options)]


def same(ours, theirs):
    """Returns the share of neighbours that are the same, place by place."""
    pairs = [(a, b) for row in zip(ours, theirs, strict=True) for a, b in zip(*row, strict=True)]
    return sum(a == b for a, b in pairs) / len(pairs)


def show(bank, found):
    """Prints the numbers of one bank."""
    for name, numbers in found.items():
        print(
            f"{bank:>10}{name:>20}{numbers['queries_per_second']:12.0f}{numbers['min']:10.0f}"
            f"{numbers['max']:10.0f}{numbers['times_slower']:9.2f}{numbers['peak_mb']:10.0f}",
            flush=True,
        )


if __name__ == "__main__":
    command.run(main)
