"""Measures MoCo v2's whole training step, beside PyTorch's on the same device.

    make peers
    python tools/benchmark_step.py --json
    python tools/benchmark_step.py --steps=20 --batch_size=256 --peers_python=PYTHON    # on a GPU

A step is: query forward and backward, key forward in training mode, momentum update, InfoNCE, SGD,
enqueue, on random views in memory. Each side is a process of its own, built anew for each precision;
they work in turns, in an order that changes from round to round, and wait meanwhile. Overhead is the
share of our step that is not in the bare passes of its two networks, which the same process runs in
turns with it. Memory is that of a process that has taken steps only. On a CPU without instructions for
bfloat16, the arithmetic of mixed_bfloat16 is float32: ours holds in bfloat16 what it computes so, and
the peer, if slower under autocast, is run without. The limit is what our process reaches in one large
matrix product and one 3x3 convolution, beside what it reaches in a step. Linux only.

On a GPU the views stay on the card, a round's time ends when the card has done its steps, ours is
compiled by XLA, and the peer is measured by torch.compile too, as a side of its own. PYTHON is one that
has PyTorch for the card: requirements-peers.txt has it for CPUs. tools/gpu_check.py measures more.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from mocotf.cli import command  # isort: skip  (first: it keeps TensorFlow's notices off the terminal)

import contextlib
import json
import statistics

import tensorflow as tf
from absl import flags

from mocotf.errors import UserError
from mocotf.nn.resnet import ARCHITECTURES
from tools.peers import environment
from tools.peers.race import race
from tools.peers.race import ratios
from tools.peers.race import start_sides

PEERS_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers")
PRECISIONS = ("float32", "mixed_bfloat16")
SETTINGS = ("arch", "moco_k", "batch_size", "image_size", "remat")
OUR_VERSIONS = ("tensorflow", "keras", "numpy")
PEER_VERSIONS = ("torch",)
UNTIMED = 3  # steps at the start, of which the memory is read
# Side → what its numbers' names begin with.
PREFIXES = {"mocotf": "", "torch": "peer_", "torch_compiled": "compiled_peer_"}
ON_DEVICE = {"TF_FORCE_GPU_ALLOW_GROWTH": "true"}  # the sides share the card

FLAGS = flags.FLAGS
flags.DEFINE_enum("peer", "torch", ["torch", "none"], "What to measure beside ours.")
flags.DEFINE_bool(
    "compiled_peer", None, "Measure the peer by torch.compile too; default: where there is a GPU."
)
flags.DEFINE_multi_enum(
    "precision", list(PRECISIONS), list(PRECISIONS), "Of the encoders; may be repeated."
)
flags.DEFINE_enum("arch", "resnet50", list(ARCHITECTURES), "Backbone.")
flags.DEFINE_integer("image_size", 224, "Side of a view, pixels.", lower_bound=8)
flags.DEFINE_integer("batch_size", 64, "Images a step.", lower_bound=1)
flags.DEFINE_integer("moco_k", 65536, "Keys in the queue.", lower_bound=1)
flags.DEFINE_bool("remat", False, "Of our side only: as the flag of mocotf.train.")
flags.DEFINE_integer("rounds", 7, "Rounds.", lower_bound=1)
flags.DEFINE_integer("steps", 1, "Steps a side takes in a round.", lower_bound=1)
flags.DEFINE_integer("threads", 0, "Cores to use; 0 for all that there are.", lower_bound=0)
flags.DEFINE_string(
    "peers_python", ".venv-peers/bin/python", "Python of the peer, with requirements-peers.txt."
)


def main():
    if FLAGS.moco_k < FLAGS.batch_size:
        raise UserError(
            f"--moco_k={FLAGS.moco_k}: smaller than the {FLAGS.batch_size} keys enqueued a step; "
            "expected at least that"
        )
    results = {name: FLAGS[name].value for name in (*SETTINGS, "rounds", "steps")}
    results |= {"threads": take_cores(FLAGS.threads), "machine": environment.machine()}
    results["versions"] = versions()
    print(
        "{arch}, {image_size} px, batch {batch_size}, K {moco_k}, {threads} threads".format(**results)
    )
    print(f"median of {FLAGS.rounds} rounds of {FLAGS.steps} steps", flush=True)
    for precision in dict.fromkeys(FLAGS.precision):
        with contextlib.ExitStack() as stack:
            results[precision] = measure(start_sides(stack, commands(precision), ON_DEVICE))
        show(precision, results[precision])
    command.print_json(results)


def take_cores(threads):
    """Leaves so many cores to the processes that are started from here on, and returns how many."""
    cores = sorted(os.sched_getaffinity(0))
    if threads > len(cores):
        raise UserError(f"--threads={threads}: expected at most {len(cores)}, the cores that there are")
    os.sched_setaffinity(0, cores[: threads or len(cores)])
    return threads or len(cores)


def commands(precision):
    """Returns the command of each side; each uses all cores that it is left."""
    options = {name: FLAGS[name].value for name in SETTINGS} | {"precision": precision}

    def command_of(python, script, **more):
        return [python, os.path.join(PEERS_FOLDER, script), json.dumps(options | more)]

    found = {"mocotf": command_of(sys.executable, "step_ours.py")}
    if FLAGS.peer == "torch":
        found["torch"] = command_of(FLAGS.peers_python, "step_torch.py")
        if with_compiled_peer():
            found["torch_compiled"] = command_of(FLAGS.peers_python, "step_torch.py", compiled=True)
    return found


def with_compiled_peer():
    """Returns whether the peer is measured by torch.compile too."""
    if FLAGS.compiled_peer is None:
        return bool(tf.config.list_physical_devices("GPU"))
    return FLAGS.compiled_peer


def measure(sides):
    """Returns what is known of one precision."""
    found = {}
    for name, side in sides.items():
        begun = side.ask(f"begin {UNTIMED}")
        found |= {PREFIXES[name] + key: value for key, value in begun.items()}
    for side in sides.values():
        side.ask("times 1")
    answers = race(sides, FLAGS.rounds, f"times {FLAGS.steps}")
    series = summary(answers)
    found |= {name: statistics.median(values) for name, values in series.items()}
    found["spread"] = {name: {"min": min(v), "max": max(v)} for name, v in series.items()}
    found["stages_ms"] = stages_ms([sides["mocotf"].ask("stages") for _ in range(FLAGS.rounds)])
    limit = sides["mocotf"].ask("limit")
    images_per_gflop = FLAGS.batch_size / limit["step_gflop"]
    limit["achieved_gflops"] = found["images_per_second"] / images_per_gflop
    return found | {"limit": limit}


def summary(answers):
    """Returns what is computed round by round, of the answers of each side."""
    images = FLAGS.steps * FLAGS.batch_size
    steps = {name: [answer["step"] for answer in rounds] for name, rounds in answers.items()}
    speeds = {name: [images / s for s in seconds] for name, seconds in steps.items()}
    found = {"images_per_second": speeds.pop("mocotf")}
    found["overhead"] = [1 - answer["bare"] / answer["step"] for answer in answers["mocotf"]]
    for name, speed in speeds.items():
        found[f"{PREFIXES[name]}images_per_second"] = speed
        ratio = PREFIXES[name].replace("peer_", "ratio")
        found[ratio] = ratios(steps["mocotf"], steps[name])
    return found


def stages_ms(answers):
    """Returns the median milliseconds of each stage."""
    return {name: 1e3 * statistics.median(answer[name] for answer in answers) for name in answers[0]}


def show(precision, found):
    """Prints the report of one precision."""
    print(f"{precision:34}{'median':>8}{'min':>8}{'max':>8}")
    for name, spread in found["spread"].items():
        print(f"  {name:32}{found[name]:8.3f}{spread['min']:8.3f}{spread['max']:8.3f}")
    for key in ("peak_mb", "base_mb", "device_peak_mb"):
        show_sides(found, key, "8.0f")
    show_sides(found, "first_step_seconds", "8.1f")
    show_sides(found, "arithmetic", ">8")
    for title in ("stages_ms", "limit"):
        print(f"  {title}")
        for name, value in found[title].items():
            print(f"    {name:24}{value:8.1f}")
    sys.stdout.flush()


def show_sides(found, key, form):
    """Prints a number of every side that has it."""
    for name in (prefix + key for prefix in PREFIXES.values()):
        if name in found:
            print(f"  {name:32}{found[name]:{form}}")


def versions():
    """Returns the versions of what is measured."""
    found = environment.versions(OUR_VERSIONS)
    if FLAGS.peer == "torch":
        found["peers"] = environment.peer_versions(FLAGS.peers_python, PEER_VERSIONS, "--peer=none")
    return found


if __name__ == "__main__":
    command.run(main)
