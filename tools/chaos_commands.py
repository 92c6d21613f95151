"""Kills a command at random moments, starts it again each time, and compares what it ends in.

    python tools/chaos_commands.py --command=embed --kills=10 --json
    python tools/chaos_commands.py --kills=10 --run=runs/demo

Without --command it takes them all, one after another, on one small run. Each is first left alone, for
its result and its time; then it is killed by SIGKILL, half of the times at any moment of that time, the
others just after it has written something. After each kill what is there is whole: a result is that of
the command left alone, or not there, and the run that it is of is readable. In the end the result is
the same bit for bit, and no file is left that is not there otherwise. Commands are forked, as tests
fork them, so that the moments are of their work, and not of Python's imports. `tools/chaos.py` kills
`mocotf.train`. Linux only.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from mocotf.cli import command  # isort: skip  (first: it keeps TensorFlow's notices off the terminal)

import random
import re
import shutil
import tempfile
import time
import typing
from collections.abc import Callable

import tensorflow as tf
from absl import flags
from PIL import Image

from mocotf.errors import UserError
from mocotf.image_search.index import read_index
from mocotf.interop import keras_file
from mocotf.json_files import read_json
from mocotf.moco.saved_run import open_run
from mocotf.serving.versions import newest_in
from mocotf.training.checkpoints import read
from tests import processes
from tools.differences import records
from tools.fuzzing.corpus import pixels

FLAGS = flags.FLAGS
SMALL = [
    "--flagfile=flags/demo.cfg", "--width=0.125", "--batch_size=64", "--moco_k=256", "--steps=20",
    "--knn_every=0", "--nofinal_files",
]  # fmt: skip
TRAINED = ["--batch_size=64", "--epochs=1", "--checkpoint_every=10", "--log_every=5", "--lr=0.1"]
PICTURES = 600
SOON = -4, -0.5  # powers of ten, of the seconds from something written to the kill
PATIENCE = 1800  # seconds for a command to end
DATE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d")


class Job(typing.NamedTuple):
    """A command to kill.

    Attributes:
        arguments: of the command, with {run}, {pictures} and {out}, the folder that it writes to.
        result: (out, the run) → what it has made, None where that is not there; anything may be raised
            of what is there in part.
        resumed: what it says where it goes on with what was interrupted; "" where it begins anew.
    """

    arguments: list[str]
    result: Callable
    resumed: str = ""


def main():
    names = [FLAGS.command] if FLAGS.command else list(JOBS)
    with tempfile.TemporaryDirectory() as folder:
        run, pictures = FLAGS.run or os.path.join(folder, "run"), os.path.join(folder, "pictures")
        if not FLAGS.run:
            run_to_end("train", *SMALL, f"--model_dir={run}")
        write_pictures(pictures)
        found = {}
        for name in names:
            chance = random.Random(f"{FLAGS.seed} {name}")
            found[name] = Chaos(folder, name, run, pictures, chance).counts()
            print(f"{name}: {found[name]}", flush=True)
    command.print_json(found)
    return 1 if any(one["faults"] for one in found.values()) else 0


class Chaos:
    """Kills one command again and again.

    Args:
        folder: an existing one, to write to.
        name: of the command, a key of `JOBS`.
        run, pictures: that it reads; of the run a copy.
        chance: a `random.Random`, of the moments.
    """

    def __init__(self, folder, name, run, pictures, chance):
        self._name, self._job, self._chance = name, JOBS[name], chance
        self._out, self._run = (os.path.join(folder, f"{name}_{what}") for what in ("out", "run"))
        self._source, self._pictures = run, pictures

    def counts(self):
        """Returns how often it was killed, went on, and what was wrong."""
        self._begin_anew()
        began = time.monotonic()
        run_to_end(self._name, *self._arguments())
        lasts = time.monotonic() - began
        expected, files = self._result(), self._files()
        found = {"kills": 0, "while_writing": 0, "results_there": 0, "resumed": 0, "faults": []}
        self._begin_anew()
        while found["kills"] < FLAGS.kills and len(found["faults"]) < FLAGS.kills:
            writing = found["kills"] % 2 == 1
            code, *said = self._kill(lasts, writing)
            said = "".join(said)
            found["resumed"] += bool(self._job.resumed) and self._job.resumed in said
            if code > 0:
                found["faults"].append(f"started after a kill it ends with {code}: {said[-300:]}")
                self._begin_anew()
            elif code < 0:
                found["kills"] += 1
                found["while_writing"] += writing
                found["faults"] += self._faults(expected)
                print(f"{self._name}: kill {found['kills']}", flush=True)
            there = code == 0 or self._result_or_none() is not None
            found["results_there"] += there and code < 0
            if there:
                self._begin_anew()
        said = run_to_end(self._name, *self._arguments())
        found["resumed"] += bool(self._job.resumed) and self._job.resumed in said
        if self._result() != expected:
            found["faults"].append("the result in the end is another")
        if left := self._files() ^ files:
            found["faults"].append(f"files that are left, or lack: {', '.join(sorted(left))}")
        return found

    def _begin_anew(self):
        for path in (self._out, self._run):
            shutil.rmtree(path, ignore_errors=True)
        os.makedirs(self._out)
        shutil.copytree(self._source, self._run)

    def _arguments(self):
        places = {"run": self._run, "pictures": self._pictures, "out": self._out}
        return [argument.format(**places) for argument in self._job.arguments]

    def _result(self):
        return self._job.result(self._out, self._run)

    def _result_or_none(self):
        try:
            return self._result()
        except Exception:  # of which `_faults` tells
            return None

    def _kill(self, lasts, writing):
        """Starts the command and kills it; returns its exit code, output and errors."""
        before = self._seen()
        process = processes.start(self._name, *self._arguments())
        if writing:
            while self._seen() == before and process.poll() is None:
                time.sleep(0.001)
            time.sleep(10 ** self._chance.uniform(*SOON))
        else:
            time.sleep(self._chance.uniform(0, lasts))
        process.kill()
        return process.wait()

    def _seen(self):
        """Returns what changes when the command writes."""
        paths = [path for top in (self._out, self._run) for path, *_ in os.walk(top)]
        seen = set()
        for path in paths:
            try:
                seen |= {(entry.path, entry.stat().st_size) for entry in os.scandir(path)}
            except OSError:  # it has gone meanwhile
                continue
        return seen

    def _faults(self, expected):
        """Returns what is not whole after a kill."""
        found = []
        try:
            result = self._result()
            if result is not None and result != expected:
                found.append("a result that is there after a kill is another")
            open_run(self._run).encoder()
            read_json(os.path.join(self._run, "evaluation.json"))
        except Exception as error:  # whatever it is, something is not whole
            found.append(f"after a kill: {type(error).__name__}: {error}")
        return found

    def _files(self):
        """Returns the names of all files that it has made; TensorBoard's have the time in theirs."""
        tops = {"out": self._out, "run": self._run}
        return {
            os.path.join(name, os.path.relpath(os.path.join(folder, file), top))
            for name, top in tops.items()
            for folder, _, files in os.walk(top)
            for file in files
            if "tfevents" not in file
        }


def of_index(out, run):
    path = os.path.join(out, "vectors.npz")
    if not os.path.exists(path):
        return None
    index = read_index(path)
    return index.names, index.vectors.tobytes(), index.about["bad_images"]


def of_export(out, run):
    folder = os.path.join(out, "served")
    if not os.path.isdir(folder) or not any(name.isdecimal() for name in os.listdir(folder)):
        return None
    model = tf.saved_model.load(newest_in(folder))
    image = tf.image.convert_image_dtype(pixels(40, 40, 3), tf.uint8)
    answer = model.signatures["serving_tensor"](image[None])
    return {name: value.numpy().tobytes() for name, value in answer.items()}


def of_keras(out, run):
    path = os.path.join(out, "encoder.keras")
    if not os.path.exists(path):
        return None
    return {v.path: v.numpy().tobytes() for v in keras_file.read(path).variables}


def of_evaluation(out, run):
    return read_json(os.path.join(run, "evaluation.json")) or None


def of_training(out, run):
    folder = os.path.join(out, "trained")
    results = read_json(os.path.join(folder, "results.json"))
    if not results:
        return None
    values = read(open_run(folder).checkpoint)
    return results, records(folder), {name: value.tobytes() for name, value in values.items()}


def of_page(out, run):
    path = os.path.join(out, "report.html")
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as file:
        return DATE.sub("", file.read())


TO_TRAIN = ["--pretrained={run}", "--model_dir={out}/trained", *TRAINED]
JOBS = {
    "embed": Job(
        ["--model_dir={run}", "--data_dir={pictures}", "--out={out}/vectors.npz", "--batch_size=2"],
        of_index,
        "going on after",
    ),
    "export": Job(["--model_dir={run}", "--export_dir={out}/served"], of_export),
    "knn": Job(["--model_dir={run}"], of_evaluation),
    "linear": Job(TO_TRAIN, of_training, "resuming"),
    "finetune": Job(TO_TRAIN, of_training, "resuming"),
    "convert": Job(["--to=keras", "{run}", "{out}/encoder.keras"], of_keras),
    "report": Job(["{run}", "--out={out}/report.html"], of_page),
}


def write_pictures(folder):
    os.makedirs(folder)
    for number in range(PICTURES):
        Image.fromarray(pixels(32, 33 + number, 3)).save(os.path.join(folder, f"{number}.png"))


def run_to_end(name, *arguments):
    """Runs a command that must succeed; returns what it has said.

    Raises:
        UserError: it did not.
    """
    done = processes.start(name, *arguments).wait(PATIENCE)
    if done.code:
        raise UserError(f"mocotf.{name} {' '.join(arguments)}: ended with {done.code}: {done.err}")
    return done.out


if __name__ == "__main__":  # a command that is forked imports this file, and has flags of its own
    flags.DEFINE_enum("command", None, list(JOBS), "To kill. Default: all.")
    flags.DEFINE_integer("kills", 10, "How often each is killed.", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "Of the moments.")
    flags.DEFINE_string(
        "run", None, "That the commands are of, of --dataset=patches. Default: a small new one."
    )
    command.run(main)
