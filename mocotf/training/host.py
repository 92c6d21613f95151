"""What a process asks of its machine before TensorFlow starts."""

import ctypes
import os
import sys

import tensorflow as tf

from mocotf.nn.kernels import policy
from mocotf.nn.xla import device_types
from mocotf.training import gpus
from mocotf.training.settings import DeviceSettings

DEFAULT = DeviceSettings()
# mallopt(3)
TRIM_THRESHOLD = -1
MMAP_MAX = -4


def configure_host(settings=DEFAULT):
    """Sets TensorFlow's devices, threads and arithmetic, what kernels layers take, and has glibc keep
    memory that is freed; call it before any tensor is.

    Every step frees and takes the same gigabytes: to give them back to the system each time costs a
    step in mixed precision about 5 %. Elsewhere than under glibc memory is as it was.

    Args:
        settings: `DeviceSettings`.

    Raises:
        UserError: there is no such device.
    """
    gpus.choose(settings.device)
    policy.choose(settings.kernels)
    tf.config.experimental.enable_tensor_float_32_execution(settings.tf32 == "on")
    if settings.deterministic:
        tf.config.experimental.enable_op_determinism()
    if settings.intra_op_threads:
        tf.config.threading.set_intra_op_parallelism_threads(settings.intra_op_threads)
    if settings.inter_op_threads:
        tf.config.threading.set_inter_op_parallelism_threads(settings.inter_op_threads)
    mallopt = sys.platform == "linux" and getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(TRIM_THRESHOLD, -1)
        mallopt(MMAP_MAX, 0)


def describe_devices(strategy):
    """Returns what a strategy computes on, of this process: "2 GPU", "CPU, 4 threads"."""
    types = device_types(strategy)
    text = f"{len(types)} {types[0]}" if len(types) > 1 else types[0]
    if types[0] == "CPU":
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        text += f", {tf.config.threading.get_intra_op_parallelism_threads() or cores} threads"
    return text
