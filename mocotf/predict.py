r"""Classifies the images in a folder.

    python -m mocotf.predict --model_dir=runs/mine_ft --data_dir=new_photos --out=labels.csv

uses a run of mocotf.finetune or mocotf.linear, and writes a line for each image, with its most probable
classes and their probabilities, from 0 to 1.
"""

from mocotf.cli import command  # first: it keeps TensorFlow's start-up notices off the terminal

# isort: split
import collections
import os

import numpy as np
from absl import flags

from mocotf import terminal
from mocotf.data.bad_images import BadImages
from mocotf.data.sources.image_files import files_under
from mocotf.data.views.formats import expected
from mocotf.errors import UserError
from mocotf.evaluation.head import open_head
from mocotf.files import atomic_write
from mocotf.files import printable
from mocotf.image_search.embedding import embed
from mocotf.interop.keras_file import from_run
from mocotf.moco.saved_run import open_run
from mocotf.tables import counted
from mocotf.tables import csv_of

FLAGS = flags.FLAGS
SHOWN = 10  # classes in the printed summary

flags.DEFINE_string(
    "model_dir",
    None,
    "Run of mocotf.finetune or mocotf.linear, or a checkpoint in one, ckpt-STEP; required. Of a run "
    "the newest checkpoint is taken.",
    required=True,
)
flags.DEFINE_string(
    "data_dir",
    None,
    "Folder of images, searched recursively, zip or tar archive, or address; required.",
    required=True,
)
flags.DEFINE_string("out", None, "File to write, .csv; required.", required=True)
flags.DEFINE_integer("top", 1, "Number of classes listed for each image.", lower_bound=1)
flags.DEFINE_integer("batch_size", 64, "Images encoded at a time.", lower_bound=1)


def main():
    if not FLAGS.out.endswith(".csv"):
        raise UserError(f"--out={FLAGS.out}: expected a name that ends in .csv")
    if os.path.exists(FLAGS.out):
        raise UserError(f"--out={FLAGS.out}: exists; expected the name of a new file")
    run = open_run(FLAGS.model_dir)
    with terminal.phase("loading the encoder"):
        head, encoder = open_head(run), from_run(run)
    how = {"upright": run.upright, "channels": run.view.channels, "max_pixels": run.max_pixels}
    with terminal.phase(f"reading {printable(FLAGS.data_dir)}"):
        files = files_under(FLAGS.data_dir, **how)
        print(f"{FLAGS.data_dir}: {files.found()}", flush=True)
    bad_images = BadImages(root=files.root)
    rows, counts = [], collections.Counter()
    top = min(FLAGS.top, len(head.names))
    with terminal.phase("telling classes", len(files)) as progress:
        for names, features, seen in embed(encoder, files, "features", FLAGS.batch_size, bad_images):
            for name, row in zip(names, head.probabilities(features), strict=True):
                best = np.argsort(-row)[:top]
                counts[head.names[best[0]]] += 1
                rows.append([name, *(cell for c in best for cell in (head.names[c], f"{row[c]:.4f}"))])
            progress.done = seen
    if not rows:
        raise UserError(
            f"--data_dir={FLAGS.data_dir}: no image decodes; expected {expected(run.view.channels)}"
        )
    write(rows, top)
    most = ", ".join(f"{name} {count:,}" for name, count in counts.most_common(SHOWN))
    print(f"{FLAGS.out}: {counted(len(rows), 'image')}; {most}" + ", …" * (len(counts) > SHOWN))
    command.print_json({"images": len(rows), "bad_images": len(bad_images.names), "classes": counts})


def write(rows, top):
    """Writes the file that --out names.

    Raises:
        UserError: it cannot be written.
    """
    places = ["", *(f"_{place}" for place in range(2, top + 1))]
    head = ["image", *(f"{name}{place}" for place in places for name in ("label", "probability"))]
    atomic_write(FLAGS.out, csv_of([head, *rows]))


if __name__ == "__main__":
    command.run(main)
