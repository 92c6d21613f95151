"""Draws view pairs as the encoder sees them, before a run is started.

    python -m mocotf.preview --flagfile=flags/v2.cfg --dataset=folder --data_dir=DIR --out=a.png

Takes the flags of `python -m mocotf.train`. Each x_q is drawn above its x_k.
"""

from mocotf.cli import command  # first: it keeps TensorFlow's start-up notices off the terminal

# isort: split
import tensorflow as tf
from absl import flags

from mocotf import terminal
from mocotf.api.data import open_and_tell
from mocotf.cli import train_flags
from mocotf.data.bad_images import BadImages
from mocotf.data.pretraining import random_views
from mocotf.data.sources.base import Order
from mocotf.errors import UserError
from mocotf.training.pictures import view_grid

PAIRS = 32

FLAGS = flags.FLAGS
flags.DEFINE_string("out", "views.png", "PNG file to write.")


def main():
    settings = train_flags.read()
    augmentation = settings.views.augmentation
    source = open_and_tell(settings.data, settings.pairs)
    pairs = min(PAIRS, source.size)
    bad_images = BadImages()
    with bad_images.explained(), terminal.phase("drawing views"):
        views = random_views(
            source,
            augmentation,
            Order(FLAGS.seed, pairs, source.steps_per_epoch(pairs), rounds=FLAGS.order_rounds),
            bad_images=bad_images,
            ops=FLAGS.host_ops,
        )
        x_q, x_k = next(iter(views))
    grid = tf.image.convert_image_dtype(view_grid((x_q, x_k), augmentation), tf.uint8)
    try:
        tf.io.write_file(FLAGS.out, tf.io.encode_png(grid))
    except tf.errors.OpError as error:
        raise UserError(
            f"--out={FLAGS.out}: cannot be written; expected a path to a new PNG"
        ) from error
    results = {"out": FLAGS.out, "pairs": len(x_q), "size": augmentation.size}
    print(f"{len(x_q)} pairs of {augmentation.size} px: {FLAGS.out}")
    command.print_json(results)


if __name__ == "__main__":
    flags.adopt_module_key_flags(train_flags)
    command.run(main)
