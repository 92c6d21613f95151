r"""Makes a vector of each image in a folder.

    python -m mocotf.embed --model_dir=runs/v2 --data_dir=my_photos --out=vectors.npz

The same command again goes on with what was interrupted, and ends in the same file. Read it by
`numpy.load`: arrays names, vectors and about; or ask it by `python -m mocotf.search`.
"""

from mocotf.cli import command  # first: it keeps TensorFlow's start-up notices off the terminal

# isort: split
import os
import time

from absl import flags

import mocotf
from mocotf.data.bad_images import BadImages
from mocotf.data.sources.image_files import files_under
from mocotf.data.views.decode import FORMATS
from mocotf.errors import UserError
from mocotf.image_search.embedding import embed
from mocotf.image_search.embedding import fingerprint
from mocotf.image_search.index import Index
from mocotf.image_search.index import check_ending
from mocotf.image_search.index import write_index
from mocotf.image_search.partial_index import PartialIndex
from mocotf.interop.keras_file import load_encoder
from mocotf.moco.saved_run import open_run
from mocotf.nn.plain import OUTPUTS
from mocotf.training.metrics_log import duration

FLAGS = flags.FLAGS
COMMIT = 5  # seconds between

flags.DEFINE_string(
    "model_dir",
    None,
    "Run, a checkpoint in one, ckpt-STEP, or a file of mocotf.convert --to=keras; required. Of a run "
    "the newest checkpoint is taken.",
    required=True,
)
flags.DEFINE_string(
    "data_dir", None, "Folder of images, searched recursively; required.", required=True
)
flags.DEFINE_string("out", None, "File to write, .npz or .parquet; required.", required=True)
flags.DEFINE_enum(
    "output",
    "features",
    OUTPUTS,
    "Of the encoder: features, the backbone's, best for most uses; embedding, the head's, shorter.",
)
flags.DEFINE_bool(
    "upright",
    None,
    "Turn images as their EXIF says. Default: where the run was trained so; of a .keras file not.",
)
flags.DEFINE_integer("batch_size", 64, "Images encoded at a time.", lower_bound=1)


def main():
    check_ending(FLAGS.out)
    if os.path.exists(FLAGS.out):
        raise UserError(f"--out={FLAGS.out}: exists; expected the name of a new file")
    about = describe_encoder(FLAGS.model_dir)
    encoder = load_encoder(about["encoder"])
    files = files_under(FLAGS.data_dir, about["upright"])
    print(f"{FLAGS.data_dir}: {files.found()}", flush=True)
    about |= {
        "mocotf": mocotf.__version__,
        "weights": fingerprint(encoder),
        "output": FLAGS.output,
        "batch_size": FLAGS.batch_size,
        "data_dir": os.path.abspath(FLAGS.data_dir),
        "files": files.digest,
    }
    partial = PartialIndex(f"{FLAGS.out}.unfinished", about, encoder.output[FLAGS.output].shape[1])
    bad_images = BadImages(partial.file("bad_images.txt"), root=files.root)
    if partial.seen:
        print(f"going on after {partial.seen:,} of {len(files):,} images")
    fill(partial, encoder, files, bad_images)

    names, vectors = partial.result()
    if not names:
        raise UserError(f"--data_dir={FLAGS.data_dir}: no image decodes; expected {FORMATS}")
    write_index(FLAGS.out, Index(names, vectors, about | {"bad_images": bad_images.names}))
    partial.remove()
    results = {"images": len(names), "bad_images": len(bad_images.names), "dim": vectors.shape[1]}
    print(f"{FLAGS.out}: {len(names):,} vectors of {vectors.shape[1]:,} numbers")
    command.print_json(results)


def describe_encoder(path):
    """Returns what an index says of the encoder that made it; `encoder` is the path to load it from."""
    if path.endswith(".keras"):
        return {"encoder": os.path.abspath(path), "upright": bool(FLAGS.upright)}
    saved = open_run(path)
    upright = saved.upright if FLAGS.upright is None else FLAGS.upright
    about = {"encoder": os.path.abspath(saved.checkpoint), "step": saved.step, "flags": saved.flags}
    return about | {"upright": upright}


def fill(partial, encoder, files, bad_images):
    """Embeds the files that are not yet; says how far it is."""
    started, before = time.monotonic(), partial.seen
    last = None
    batches = embed(encoder, files, FLAGS.output, FLAGS.batch_size, bad_images, partial.seen)
    for names, vectors, seen in batches:
        partial.add(names, vectors, seen)
        now = time.monotonic()
        if last and now - last < COMMIT:
            continue
        partial.commit()
        if last:  # the first batch has taken longer
            rate = (seen - before) / (now - started)
            left = duration((len(files) - seen) / rate)
            print(f"{seen:,} of {len(files):,} images, {rate:.0f} a second, {left} left", flush=True)
        last = now


if __name__ == "__main__":
    command.run(main)
