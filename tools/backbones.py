"""Runs mocotf's commands on backbones of many kinds, and makes a table of what comes out.

    python tools/backbones.py
    python tools/backbones.py --only=ViT,MobileNetV2 --nochecks --knn

Of each: its parameters; the median time of a training step on the CPU, the first left out; whether a
run that is taken back to an earlier checkpoint ends as it did before, bit for bit; and the largest
differences between the encoder and what mocotf.export and mocotf.convert --to=keras write of it.
With --knn, those that take pictures of 32 x 32 are also trained for a while on some of --pictures, and
kNN is measured before and after.

What is found is added to --results, and the table of all that is there is printed, in Markdown. The
exit code is 1 where a backbone failed.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from mocotf.cli import command  # isort: skip  (first: it keeps TensorFlow's notices off the terminal)

import tempfile

from absl import flags

from mocotf.errors import UserError
from mocotf.json_files import read_json
from mocotf.json_files import write_json
from tools.matrix import measures
from tools.matrix import table
from tools.matrix.rows import ROWS
from tools.peers import environment

FLAGS = flags.FLAGS
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VERSIONS = ("tensorflow", "keras", "keras-hub")

flags.DEFINE_list("only", None, f"Some of {', '.join(ROWS)}. Default: all.")
flags.DEFINE_bool("checks", True, "Measure all but kNN.")
flags.DEFINE_bool("knn", False, "Measure kNN before and after a short training, too.")
flags.DEFINE_string(
    "pictures",
    os.path.join(ROOT, "..", "shared", "data", "cifar10.zip"),
    "Zip of train/CLASS/FILE and test/CLASS/FILE, such as CIFAR-10's; --knn takes some of them.",
)
flags.DEFINE_string("results", "runs/backbones.json", "File that results are added to.")


def main():
    names = FLAGS.only or list(ROWS)
    if unknown := [name for name in names if name not in ROWS]:
        raise UserError(f"--only={unknown[0]}: expected some of {', '.join(ROWS)}")
    taken_on = {"machine": environment.machine(), "versions": environment.versions(VERSIONS)}
    found = read_json(FLAGS.results) or taken_on | {"backbones": {}}
    if other := [name for name in taken_on if found[name] != taken_on[name]]:
        raise UserError(f"--results={FLAGS.results}: is of another {other[0]}; try another file")
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        pictures = os.path.join(folder, "pictures")
        if FLAGS.knn and os.path.exists(FLAGS.pictures):
            measures.unpack_some(FLAGS.pictures, pictures)
        for name in names:
            row, known = ROWS[name], found["backbones"].get(name, {})
            result = known | {"flags": list(row.flags), "image_size": row.size}
            result.pop("failed", None)
            try:
                if FLAGS.checks:
                    result |= measures.check(row)
                if FLAGS.knn:
                    result |= knn(row, pictures)
            except UserError as error:
                failed.append(name)
                result["failed"] = str(error)
            print(f"{name}: {table.line(result)}", flush=True)
            found["backbones"][name] = result
            os.makedirs(os.path.dirname(os.path.abspath(FLAGS.results)), exist_ok=True)
            write_json(FLAGS.results, found)
    print(table.markdown(found["backbones"], list(ROWS)))
    command.print_json({"results": FLAGS.results, "failed": failed} | found)
    return 1 if failed else 0


def knn(row, pictures):
    """Returns kNN before and after, or why it is not measured."""
    if row.size != measures.SIDE:
        return {"no_knn": f"takes no pictures of {measures.SIDE} x {measures.SIDE}"}
    if not os.path.exists(pictures):
        return {"no_knn": f"{FLAGS.pictures}: is not there"}
    return measures.knn(row, pictures)


if __name__ == "__main__":
    command.run(main)
