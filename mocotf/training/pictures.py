"""The pictures of a run: files in its directory, which TensorBoard shows too."""

import glob
import os

import tensorflow as tf
from tensorboard.compat.proto.summary_pb2 import Summary

from mocotf.files import atomic_write

FOLDER = "pictures"


def keep_picture(run_dir, name, step, picture):
    """Keeps a picture as pictures/NAME-STEP.jpg; the record of the step, written after it, shows it.

    Args:
        run_dir: a `RunDir`.
        name: what is seen on it, as "views".
        step: of the run.
        picture: uint8 `[height, width, 3]`.
    """
    os.makedirs(run_dir.file(FOLDER), exist_ok=True)
    atomic_write(run_dir.file(f"{FOLDER}/{name}-{step}.jpg"), encode(picture))


def encode(picture):
    """Returns the bytes of a JPEG of a uint8 picture `[height, width, 3]`, with sharp colours."""
    return tf.io.encode_jpeg(picture, quality=92, chroma_downsampling=False).numpy()


def summaries(run_dir, step):
    """Returns what TensorBoard is told of the pictures of a step, a list of `Summary.Value`."""
    values = []
    for path in sorted(glob.glob(f"{glob.escape(run_dir.file(FOLDER))}/*-{step}.jpg")):
        with open(path, "rb") as file:
            data = file.read()
        height, width, _ = tf.io.decode_jpeg(data).shape
        image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=data)
        name = os.path.basename(path).rpartition("-")[0]
        values.append(Summary.Value(tag=f"{FOLDER}/{name}", image=image))
    return values
