"""How large a batch fits a GPU, where one did not."""

import re
import subprocess

import tensorflow as tf

SIZES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
RESERVED = 2 * 2**30  # bytes that TensorFlow leaves to the driver and to libraries, or a little more
QUERY = ("nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits")


def fitting_batch(error, batch_size):
    """Returns about how many images a step would fit; None where it cannot be told.

    A step that XLA compiles asks for all that it needs beside the weights at once, and needs as much
    for each image. One that is not compiled fails somewhere on its way.

    Args:
        error: a `tf.errors.ResourceExhaustedError` of a step.
        batch_size: images a step that did not fit.
    """
    said = re.search(r"trying to allocate ([\d.]+)\s*([KMGT]iB|B)\b", str(error))
    free = free_bytes() if said else None
    if not free:
        return None
    fits = int(batch_size * free / (float(said[1]) * SIZES[said[2]]))
    return fits if 0 < fits < batch_size else None


def free_bytes():
    """Returns the bytes of the first GPU that this process may still fill; None where there is none."""
    if not tf.config.list_logical_devices("GPU"):
        return None
    try:
        said = subprocess.run(QUERY, capture_output=True, text=True, check=True).stdout
        total = int(said.split()[0]) * 2**20
    except (OSError, subprocess.CalledProcessError, ValueError, IndexError):
        return None
    return max(0, total - RESERVED - tf.config.experimental.get_memory_info("GPU:0")["current"])
