"""What the programs of this folder share: their options, their results, and how to train."""

import json
import os
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BEGUN = time.monotonic()


def options():
    """Returns what tools/gpu_check.py asks for, a dictionary, and `deadline`, of `time.monotonic`.

    The time that it leaves for what is killed to end and be reported is taken off.
    """
    found = json.loads(sys.argv[1])
    return found | {"deadline": BEGUN + 0.95 * found["seconds"] - 1}


def left(asked):
    """Returns the seconds until the deadline."""
    return asked["deadline"] - time.monotonic()


def report(found):
    """Prints what is known so far, in one line; the last one counts."""
    print(json.dumps(found), flush=True)


def train(model_dir, *flags):
    """Returns the command that trains with these flags."""
    return [sys.executable, "-m", "mocotf.train", f"--model_dir={model_dir}", "--nofinal_files", *flags]


def metrics(model_dir):
    """Returns the records of a run, [] where it has none."""
    from mocotf.training.metrics_file import read_metrics  # TensorFlow with it, which few parts need

    return read_metrics(os.path.join(model_dir, "metrics.jsonl"))
