"""Measures mocotf on a GPU: what it reaches beside PyTorch, whether everything runs, and repeats.

    python tools/gpu_check.py --minutes=10
    python tools/gpu_check.py --only=step --variants=default,nojit,'mine:jit_compile=true;XLA_FLAGS=--…'
    python tools/gpu_check.py --table=gpu_check.json

Parts run in order of value, each in a process of its own and within its time: one that crashes costs
itself only, and what it had found by then is kept. Results are appended to a file, one JSON object a
line, so that several calls add up; at the end those of this call are printed as Markdown, for
docs/reference/performance.md. PyTorch is left out where --peers_python has none. On a machine without
a GPU the same runs on the CPU; --tiny makes it small enough for that.
"""

import dataclasses
import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from absl import app
from absl import flags

from mocotf.errors import UserError
from tools.gpu import child
from tools.gpu import options
from tools.gpu import table
from tools.gpu import variants

FLOAT32 = {"precision": "float32"}


@dataclasses.dataclass(frozen=True)
class Part:
    """A program of tools/gpu.

    Attributes:
        program: its name.
        most: seconds that it may take beside others.
        least: seconds that it needs to be worth a start.
        settings: options that differ from what the flags say.
        compiles: models that it compiles; where the last compile says how long that takes, it is not
            started without the time.
    """

    program: str
    most: int
    least: int = 10
    settings: dict = dataclasses.field(default_factory=dict)
    compiles: int = 0


PARTS = {
    "card": Part("card", most=60),
    "step": Part("step", most=300, least=60),
    "options": Part("options", most=180, least=60),
    "deterministic": Part("deterministic", most=240, least=45),
    "accuracy": Part("accuracy", most=60, least=20),
    "input": Part("input", most=180, least=60),
    "profile": Part(
        "step", 180, 60, {"variants": ["default"], "peers": [], "rounds": 1, "profile": ["default"]}, 1
    ),
    "cifar": Part("cifar", most=600, least=60),
    "tf32": Part("step", 240, 60, FLOAT32 | {"variants": ["default", "no-tf32:tf32=false"]}, 2),
    "float16": Part("step", 180, 60, {"variants": ['half:precision="mixed_float16"'], "peers": []}, 1),
    "batches": Part(
        "step", 300, 60, {"variants": ["64:batch_size=64", "512:batch_size=512"], "peers": []}, 2
    ),
}
FULL = {"arch": "resnet50", "moco_k": 65536, "batch_size": 256, "image_size": 224}
TINY = {"arch": "resnet10", "moco_k": 256, "batch_size": 8, "image_size": 32}

FLAGS = flags.FLAGS
flags.DEFINE_float("minutes", 10, "For all parts together.", lower_bound=0.1)
flags.DEFINE_list("only", list(PARTS), "Parts, in the order in which they are to run.")
flags.DEFINE_string("out", "gpu_check.json", "File that results are appended to.")
flags.DEFINE_string("table", None, "Print the table of this file of results, and measure nothing.")
flags.DEFINE_bool("tiny", False, "Models and sizes that a CPU manages, to try the program itself.")
flags.DEFINE_list(
    "variants",
    ["default", "nojit"],
    "Of our step: names, or NAME:KEY=VALUE;KEY=VALUE, keys in capitals being the environment's, others "
    f"options of the step. Known: {', '.join(variants.VARIANTS)}; a+b has the settings of both.",
)
flags.DEFINE_list(
    "peers", ["torch", "torch.compile"], f"PyTorch's sides of the step, of {', '.join(variants.PEERS)}."
)
flags.DEFINE_string("precision", "mixed_bfloat16", "Of the encoders in the step.")
flags.DEFINE_integer(
    "batch_size", None, "Images a step. Default: 256, or 8 with --tiny.", lower_bound=1
)
flags.DEFINE_integer("rounds", 7, "Of the step.", lower_bound=1)
flags.DEFINE_integer("steps", 10, "That a side takes in a round.", lower_bound=1)
flags.DEFINE_integer("ready_seconds", 240, "Sides that have not compiled by then are left out.")
flags.DEFINE_bool("serial_compile", False, "One side of the step compiles at a time.")
flags.DEFINE_list("profile", [], "Variants to trace after the rounds.")
flags.DEFINE_list("options", [], "Of the part options; default: all.")
flags.DEFINE_integer("at_once", max(2, (os.cpu_count() or 2) // 2), "Runs of options side by side.")
flags.DEFINE_list("inputs", ["device224", "device32", "host32"], "Of the part input.")
flags.DEFINE_string("data_dir", None, "CIFAR-10 as JPEG files: train/CLASS/ and test/CLASS/.")
flags.DEFINE_multi_string("train_flag", [], "Further flag of mocotf.train in input and cifar.")
flags.DEFINE_string("peers_python", sys.executable, "Python that has PyTorch.")


def main():
    if FLAGS.table:
        print(table.markdown(table.read(FLAGS.table)))
        return
    check()
    # What shares the card takes what it needs only.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    deadline = time.monotonic() + 60 * FLAGS.minutes
    results, compile_seconds = [], 0
    for name in FLAGS.only:
        result = measure(name, deadline - time.monotonic(), compile_seconds)
        compile_seconds = max([compile_seconds, *first_steps(result)])
        results.append(result)
        with open(FLAGS.out, "a", encoding="utf-8") as file:
            file.write(json.dumps(result) + "\n")
        print(table.markdown([result]), flush=True)


def check():
    """Checks the flags against what there is.

    Raises:
        UserError: a part, variant, peer or option is not known.
    """
    for flag, known in (("only", PARTS), ("peers", variants.PEERS), ("options", options.OPTIONS)):
        for name in FLAGS[flag].value:
            if name not in known:
                raise UserError(f"--{flag}={name}: expected some of {', '.join(known)}")
    variants.parse(FLAGS.variants)


def measure(name, left, compile_seconds):
    """Runs a part, and returns its result, JSON.

    Args:
        left: seconds for this part and those that follow.
        compile_seconds: that a model took to compile.
    """
    part = PARTS[name]
    least = min(part.least, left) if len(FLAGS.only) == 1 else part.least
    least += part.compiles * compile_seconds
    result = {"part": name, "time": round(time.time()), "found": None}
    if left < least:
        return result | {"error": f"not run: {max(0, left):.0f} s are left, it wants {least:.0f}"}
    seconds = left if len(FLAGS.only) == 1 else min(part.most, left)
    program = os.path.join(child.ROOT, "tools", "gpu", f"{part.program}.py")
    command = [sys.executable, program, json.dumps(asked(part, seconds))]
    outcome = child.run(command, seconds, session=True)
    result |= {"found": child.last_json(outcome["out"]), "seconds": outcome["seconds"]}
    result |= {"cut_short": outcome["code"] is None, "stderr": outcome["err"]}
    if outcome["code"]:
        result["error"] = child.last_line(outcome)
    return result


def asked(part, seconds):
    """Returns the options of a part's program."""
    names = ("tiny", "variants", "peers", "precision", "rounds", "steps", "ready_seconds", "profile")
    names += ("serial_compile", "options", "at_once", "inputs", "data_dir", "peers_python")
    found = (TINY if FLAGS.tiny else FULL) | {name: FLAGS[name].value for name in names}
    found |= {"seconds": seconds, "train_flags": FLAGS.train_flag}
    if FLAGS.batch_size:
        found["batch_size"] = FLAGS.batch_size
    found |= part.settings
    return found | {"variants": variants.parse(found["variants"])}


def first_steps(result):
    """Returns the seconds that each of our sides took for its first step, where the part has any."""
    sides = (result["found"] or {}).get("sides", {})
    ours = [side for name, side in sides.items() if name not in variants.PEERS]
    return [side["first_step_seconds"] for side in ours if "first_step_seconds" in side]


def guarded(arguments):
    """Runs `main`; returns the exit code. TensorFlow is not imported: the card is for the parts."""
    try:
        if arguments[1:]:
            raise UserError(f"{arguments[1:]}: expected none, every option is a flag, --name=value")
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    app.run(guarded)
