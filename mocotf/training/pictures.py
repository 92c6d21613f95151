"""The pictures of a run: files in its directory, which TensorBoard shows too."""

import glob
import logging
import os

import tensorflow as tf
from tensorboard.compat.proto.summary_pb2 import Summary

from mocotf.errors import UserError
from mocotf.errors import first_line
from mocotf.files import atomic_write
from mocotf.files import make_folder
from mocotf.files import read_file

log = logging.getLogger(__name__)
FOLDER = "pictures"


def keep_picture(run_dir, name, step, picture):
    """Keeps a picture as pictures/NAME-STEP.jpg; the record of the step, written after it, shows it.

    Args:
        run_dir: a `RunDir`.
        name: what is seen on it, as "views".
        step: of the run.
        picture: uint8 `[height, width, 3]`.
    """
    make_folder(run_dir.file(FOLDER))
    atomic_write(run_dir.file(f"{FOLDER}/{name}-{step}.jpg"), encode(picture))


def encode(picture):
    """Returns the bytes of a JPEG of a uint8 picture `[height, width, 3]`, with sharp colours."""
    return tf.io.encode_jpeg(picture, quality=92, chroma_downsampling=False).numpy()


def summaries(run_dir, step):
    """Returns what TensorBoard is told of the pictures of a step, a list of `Summary.Value`."""
    values = []
    for path in sorted(glob.glob(f"{glob.escape(run_dir.file(FOLDER))}/*-{step}.jpg")):
        try:
            data = read_file(path)
            height, width, _ = tf.io.decode_jpeg(data).shape
        except (UserError, tf.errors.OpError) as error:
            log.warning("%s: is not shown: %s", path, first_line(error))
            continue
        image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=data)
        name = os.path.basename(path).rpartition("-")[0]
        values.append(Summary.Value(tag=f"{FOLDER}/{name}", image=image))
    return values


def shown(images, augmentation):
    """Returns normalised images `[…, C]` as people are shown them, float32 `[…, 3]`: what is within
    [0, 1] can be seen.

    Args:
        images: RGB; or of other channels, whose units are no levels: those that are shown are stretched
            from mean - 2 std to mean + 2 std.
        augmentation: gives mean and std, or which channels.
    """
    if not augmentation.channels:
        return images * augmentation.std + augmentation.mean
    numbers = augmentation.show_channels or ((1, 2, 3) if augmentation.channels > 2 else (1,))
    places = [number - 1 for number in numbers] * (3 // len(numbers))
    return tf.gather(images, places, axis=-1) / 4 + 0.5


def levels(images, augmentation):
    """Returns what `shown` does as pictures, uint8."""
    picture = shown(images, augmentation)
    return tf.image.convert_image_dtype(picture, tf.uint8, saturate=True).numpy()


def show_views(run_dir, views, augmentation):
    """Keeps the grid of views as the picture "views"; arguments as in `view_grid`."""
    grid = view_grid(views, augmentation)
    keep_picture(run_dir, "views", 0, tf.image.convert_image_dtype(grid, tf.uint8))


def view_grid(views, augmentation, columns=8, rows=4):
    """Returns a picture of views as the encoder sees them, those of an image one above the other, and
    white between those of different images.

    Args:
        views: such as (x_q, x_k), normalised, `[n, S, S, C]` each.
        augmentation: as of `shown`.
        columns, rows: of images in the grid; fewer where the batch is smaller.

    Returns:
        float32 `[height, width, 3]` in [0, 1].
    """
    n, size = views[0].shape[:2]
    columns = min(columns, n)
    rows = min(rows, n // columns)
    joined = tf.concat(views, axis=1)[: rows * columns]  # [n, views · S, S, 3]
    joined = tf.clip_by_value(shown(joined, augmentation), 0, 1)
    enlarge = max(1, 64 // size)  # small views would be stamps
    joined = tf.repeat(tf.repeat(joined, enlarge, axis=1), enlarge, axis=2)
    gutter = joined.shape[2] // 12
    joined = tf.pad(joined, [[0, 0], [0, gutter], [0, gutter], [0, 0]], constant_values=1)
    grid = tf.concat([tf.concat(tf.unstack(row), axis=1) for row in tf.split(joined, rows)], axis=0)
    return tf.pad(grid, [[gutter, 0], [gutter, 0], [0, 0]], constant_values=1)
