"""Damages images and files of state, and has all that reads them read them: who crashes, hangs, takes
too much memory, ends in a traceback, or reads something else without a word?

    python tools/fuzz.py --seconds=60 --json
    python tools/fuzz.py --images=20000 --files=2000 --seed=7 --json
    python tools/fuzz.py --replay=fuzz_findings/7-1234.image

The good files are made here: images of all formats that are read, and what a small run keeps. Each case
is a pure function of the seed and its number. It is tried in a process of its own kind, which a crash
ends and another follows; its limits are of one step, such as to decode an image. Each finding is saved
to --out under the name that --replay takes. Linux only.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from mocotf.cli import command  # isort: skip  (first: it keeps TensorFlow's notices off the terminal)

import collections
import functools
import heapq
import itertools
import multiprocessing
import random
import tempfile
import time

from absl import flags

from mocotf.errors import UserError
from mocotf.files import atomic_write
from tools.fuzzing import corpus
from tools.fuzzing import mutations
from tools.fuzzing.files import NAMES
from tools.fuzzing.files import File
from tools.fuzzing.files import Readers
from tools.fuzzing.files import make
from tools.fuzzing.hunt import FINDINGS
from tools.fuzzing.hunt import Case
from tools.fuzzing.hunt import Limits
from tools.fuzzing.hunt import hunt
from tools.fuzzing.images import Image

FLAGS = flags.FLAGS
IMAGE = "image"  # the target of images; those of files are called as the files
REPLAYED = "replayed"
SLASH = "+"  # of a target, in the name of a file

flags.DEFINE_float("seconds", None, "To go on for. Default: until all --images and --files are tried.")
flags.DEFINE_integer(
    "images", None, "Damaged images. Default: none; with --seconds alone there is no end."
)
flags.DEFINE_integer("files", None, "Damaged files. Default: likewise.")
flags.DEFINE_integer("seed", 0, "Of all that is drawn.")
flags.DEFINE_integer("processes", 2, "That try cases side by side.", lower_bound=1)
flags.DEFINE_float("most_seconds", 5, "Of a step of a case, such as to decode an image.")
flags.DEFINE_float("most_megabytes", 500, "Likewise.")
flags.DEFINE_string("out", "fuzz_findings", "Folder of what is found; made where something is.")
flags.DEFINE_string("replay", None, "File of a finding, to be tried again.")


def main():
    if FLAGS.seconds is None and FLAGS.images is None and FLAGS.files is None and not FLAGS.replay:
        raise UserError("nothing to do; expected --seconds, --images, --files or --replay")
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        prepare(folder)
        cases = itertools.chain(map(replayed, filter(None, [FLAGS.replay])), all_cases(folder))
        if FLAGS.seconds is not None:
            deadline = time.monotonic() + FLAGS.seconds
            cases = itertools.takewhile(lambda _: time.monotonic() < deadline, cases)
        limits = Limits(FLAGS.most_seconds, FLAGS.most_megabytes)
        make_targets = functools.partial(targets, folder)
        found = judge(hunt(cases, make_targets, limits, FLAGS.processes))
    found |= {"seed": FLAGS.seed, "seconds": round(time.monotonic() - began, 1)}
    command.print_json(found)
    return 1 if found["findings"] else 0


def prepare(folder):
    """Makes the good files, in another process: this one is to be forked, and runs no TensorFlow."""
    process = multiprocessing.get_context("fork").Process(target=make, args=(folder,))
    process.start()
    process.join()
    if process.exitcode:
        raise UserError(
            f"{folder}: no files to damage could be made, see above; expected room for them"
        )


def targets(folder, step):
    """Returns name → target, as `work` wants them."""
    own = tempfile.mkdtemp(dir=folder)
    readers = Readers(folder).all
    files = {name: File(step, folder, own, name, read) for name, read in readers.items()}
    return {IMAGE: Image(step, os.path.join(folder, "served"), own)} | files


def all_cases(folder):
    """Returns an iterator of the cases of images and of files, mixed in proportion."""
    good = {}
    for name in NAMES:
        if os.path.exists(path := os.path.join(folder, name)):
            with open(path, "rb") as file:
                good[name] = file.read()
    images = numbered(FLAGS.images, 10, image_case)
    files = numbered(FLAGS.files, 1, functools.partial(file_case, good=good))
    return (
        make_case(number) for _, number, make_case in heapq.merge(images, files, key=lambda x: x[0])
    )


def numbered(count, share, make_case):
    """Yields (place among all, number, what makes its case) of a sort of cases."""
    endless = FLAGS.seconds is not None and FLAGS.images is None and FLAGS.files is None
    for number in itertools.count() if endless else range(count or 0):
        yield number / (count or share), number, make_case


def image_case(number):
    """Returns an image's case: a pure function of seed and number."""
    chance = random.Random(f"{FLAGS.seed} image {number}")
    content, other = corpus.draw(chance), corpus.draw(chance)
    change = chance.choice(mutations.OF_IMAGES)
    return Case(number, IMAGE, change.__name__, change(chance, content, other))


def file_case(number, good):
    """Returns a file's case."""
    chance = random.Random(f"{FLAGS.seed} file {number}")
    name, other = chance.choice([*good]), chance.choice([*good])
    change = chance.choice(mutations.OF_FILES)
    return Case(number, name, change.__name__, change(chance, good[name], good[other]))


def replayed(path):
    """Returns the case of a finding's file."""
    number, _, target = os.path.basename(path).partition(".")
    target = target.replace(SLASH, "/")
    if target not in (IMAGE, *NAMES):
        raise UserError(f"--replay={path}: expected a name as --out has, SEED-NUMBER.{IMAGE}")
    try:
        with open(path, "rb") as file:
            return Case(number, target, REPLAYED, file.read())
    except OSError as error:
        raise UserError(f"--replay={path}: {error.strerror}; expected a file that --out has") from error


def judge(verdicts):
    """Counts verdicts, tells of the findings and keeps their files; returns what --json prints."""
    cases, findings = collections.defaultdict(collections.Counter), []
    most, longest = 0.0, 0.0
    for case, outcome, details, megabytes, seconds in verdicts:
        sort = "image" if case.target == IMAGE else "file"
        cases[f"{sort}, {case.change}"][outcome] += 1
        most, longest = max(most, megabytes), max(longest, seconds)
        path = FLAGS.replay if case.change == REPLAYED else None
        if outcome in FINDINGS:
            path = path or keep(case)
            findings.append(
                {"file": path, "outcome": outcome, "change": case.change, "details": details}
            )
        if path:
            print(f"{path}: {outcome}: {details}", flush=True)
    totals = {name: sum(one[name] for one in cases.values()) for name in FINDINGS}
    count = sum(sum(one.values()) for one in cases.values())
    print(
        f"{count:,} cases, {len(findings)} findings; at most {most:.0f} MB and {longest:.1f} s a step"
    )
    return {
        "cases": {name: dict(sorted(one.items())) for name, one in sorted(cases.items())},
        "images": sum(sum(one.values()) for name, one in cases.items() if name.startswith("image")),
        "files": sum(sum(one.values()) for name, one in cases.items() if name.startswith("file")),
        **totals,
        "most_megabytes": round(most, 1),
        "most_seconds": round(longest, 2),
        "findings": findings,
    }


def keep(case):
    """Returns the path of a case's bytes, under a name that says seed, number and target."""
    os.makedirs(FLAGS.out, exist_ok=True)
    path = os.path.join(FLAGS.out, f"{FLAGS.seed}-{case.number}.{case.target.replace('/', SLASH)}")
    atomic_write(path, case.content)
    return path


if __name__ == "__main__":
    command.run(main)
