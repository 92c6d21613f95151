"""What a process asks of its machine before TensorFlow starts."""

import ctypes

import tensorflow as tf

from mocotf.training import gpus

# mallopt(3)
TRIM_THRESHOLD = -1
MMAP_MAX = -4


def configure_host(
    intra_op_threads=0, inter_op_threads=0, *, device="auto", deterministic=False, tf32=True
):
    """Sets TensorFlow's devices, threads and arithmetic, and has glibc keep memory that is freed; call
    it before any tensor is.

    Every step frees and takes the same gigabytes: to give them back to the system each time costs a
    step in mixed precision about 5 %. Elsewhere than under glibc memory is as it was.

    Args:
        intra_op_threads: that share the work of one operator; 0 for TensorFlow's choice, one a core.
        inter_op_threads: operators that run at once; 0 likewise.
        device: see `gpus.choose`.
        deterministic: operators give the same bits each time, or are refused.
        tf32: GPUs round what they multiply in float32 to 10 bits, where they are faster then.

    Raises:
        UserError: there is no such device.
    """
    gpus.choose(device)
    tf.config.experimental.enable_tensor_float_32_execution(tf32)
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    if intra_op_threads:
        tf.config.threading.set_intra_op_parallelism_threads(intra_op_threads)
    if inter_op_threads:
        tf.config.threading.set_inter_op_parallelism_threads(inter_op_threads)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(TRIM_THRESHOLD, -1)
        mallopt(MMAP_MAX, 0)
