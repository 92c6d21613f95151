"""Measures how many pairs of views a core makes in a second, beside torchvision and Albumentations.

    make peers
    python tools/benchmark_input.py

MoCo v2's two 224-pixel views, from JPEG files to normalised float tensors; ours in batches of 32. The
host's share is what a host still does where the accelerator does the rest: both crops, as bytes. Each
side is a process of its own, with one thread at work, all on one core. They work in turns, in an order
that changes from round to round, and wait meanwhile; tools/peers/ours.py says how ours is kept from
working ahead. All read the same files, which stay in the page cache. The stages are what growing parts
of `random_views`, with Numba's operators, take beyond the part before. Linux only.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from mocotf.cli import command  # isort: skip  (first: it keeps TensorFlow's notices off the terminal)

import contextlib
import statistics
import tempfile

from absl import flags

from tools.peers import environment
from tools.peers import images
from tools.peers.ours import BATCH
from tools.peers.race import median_ratio
from tools.peers.race import median_steps
from tools.peers.race import race
from tools.peers.race import start_sides

PEERS_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers")
OURS = {
    "all_on_host": ("numba", "views"),
    "host_share": ("numba", "crops"),
    "all_on_host_tensorflow": ("tensorflow", "views"),
    "host_share_tensorflow": ("tensorflow", "crops"),
}
PEERS = ("torchvision", "albumentations")
STAGES = {
    "read": "order, read",
    "draws": "draws",
    "windows": "header, windows",
    "decode": "decode what both windows need",
    "crops": "crop, resize, store bytes",
    "bare views": "flip, normalise, store float instead",
    "colours": "jitter, gray",
    "blur": "blur",
    "all": "skip what does not decode, batch, hand over",
}
OUR_VERSIONS = ("tensorflow", "numba", "numpy")
PEER_VERSIONS = (*PEERS, "torch", "pillow", "opencv-python-headless")

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "data_dir",
    None,
    f"Folder of JPEG files, searched recursively; at most {images.MOST} are used, evenly spread. "
    "Without it, 64 made of four photographs, 500 x 375, quality 90.",
)
flags.DEFINE_integer("rounds", 5, "Rounds.", lower_bound=1)
flags.DEFINE_integer("pairs", 640, f"Pairs a side makes in a round, a multiple of {BATCH}.", BATCH)
flags.DEFINE_multi_enum("sides", list(OURS), list(OURS), "Which of ours to measure; may be repeated.")
flags.DEFINE_bool("peers", True, "Measure torchvision and Albumentations too.")
flags.DEFINE_string(
    "peers_python", ".venv-peers/bin/python", "Python of the peers, with requirements-peers.txt."
)
flags.DEFINE_bool("stages", True, "Measure the stages of ours, too.")
flags.register_validator(
    "pairs", lambda pairs: pairs % BATCH == 0, f"expected a multiple of {BATCH}, ours' batch"
)


def main():
    results = {"rounds": FLAGS.rounds, "pairs_per_round": FLAGS.pairs, "data_dir": FLAGS.data_dir}
    results |= {"machine": environment.machine(), "versions": versions()}
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        paths = images.find(FLAGS.data_dir, folder, BATCH) if FLAGS.data_dir else images.make(folder)
        # Processes started from here on inherit it.
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        sides = start(stack, commands(folder, paths))
        seconds = race(sides, FLAGS.rounds, FLAGS.pairs)
        if FLAGS.stages:
            stages = start(stack, {"stages": ours("numba", "stages", folder)})
            answers = race(stages, FLAGS.rounds, FLAGS.pairs)["stages"]
            results["stages_ms"] = median_steps(answers, FLAGS.pairs)
    results |= summary(seconds)
    show(results)
    command.print_json(results)


def commands(folder, paths):
    """Returns the command of each side."""
    found = {name: ours(*OURS[name], folder) for name in OURS if name in FLAGS.sides}
    if FLAGS.peers:
        for name in PEERS:
            found[name] = [FLAGS.peers_python, os.path.join(PEERS_FOLDER, "views.py"), name, *paths]
    return found


def ours(*arguments):
    """Returns the command of tools/peers/ours.py with these arguments."""
    return [sys.executable, os.path.join(PEERS_FOLDER, "ours.py"), *arguments]


def start(stack, found):
    """Starts all commands, and returns the sides once each has made its first pairs."""
    sides = start_sides(stack, found)
    for side in sides.values():
        side.ask(2 * BATCH)
    return sides


def summary(seconds):
    """Returns pairs per second and ratios of all sides, of the seconds of each round."""
    speeds = {name: [FLAGS.pairs / s for s in values] for name, values in seconds.items()}
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    peers = [name for name in PEERS if name in seconds]
    found = {}
    for name in filter(seconds.__contains__, OURS):
        ratios = {f"vs_{peer}": median_ratio(seconds[name], seconds[peer]) for peer in peers}
        found[name] = {"pairs_per_second": medians[name], **ratios}
    found["peers"] = {name: medians[name] for name in peers}
    found["spread"] = {name: {"min": min(v), "max": max(v)} for name, v in speeds.items()}
    return found


def show(results):
    """Prints the report."""
    peers, stages = results["peers"], results.get("stages_ms", {})
    print("pairs/s on one core, median of {rounds} rounds of {pairs_per_round}".format(**results))
    print(f"{'':24}{'median':>8}{'min':>8}{'max':>8}" + "".join(f"  x {peer}" for peer in peers))
    for name, spread in results["spread"].items():
        median = peers[name] if name in peers else results[name]["pairs_per_second"]
        line = f"{name:24}{median:8.1f}{spread['min']:8.1f}{spread['max']:8.1f}"
        ratios = {} if name in peers else {p: f"{results[name][f'vs_{p}']:.2f}" for p in peers}
        print(line + "".join(f"{ratio:>{len(peer) + 4}}" for peer, ratio in ratios.items()))
    if stages:
        print("ms a pair of all_on_host")
    for name, milliseconds in stages.items():
        print(f"  {STAGES[name]:38}{milliseconds:6.3f}")


def versions():
    """Returns the versions of what is measured."""
    found = environment.versions(OUR_VERSIONS)
    if FLAGS.peers:
        found["peers"] = environment.peer_versions(FLAGS.peers_python, PEER_VERSIONS, "--nopeers")
    return found


if __name__ == "__main__":
    command.run(main)
