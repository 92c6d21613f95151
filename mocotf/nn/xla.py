"""What XLA compiles: whether a graph is compiled whole, and whether XLA works on this machine."""

import contextlib
import contextvars
import functools

import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops

from mocotf.errors import UserError
from mocotf.settings import AUTO

# From this compute capability on, Blackwell's, XLA in TensorFlow 2.21 ends the process: tensorflow
# #111958.
TOO_NEW = (12, 0)

_whole = contextvars.ContextVar("whole", default=False)


@contextlib.contextmanager
def compiled_whole(compiled=True):
    """Within it, layers are told that XLA compiles the graph that they are called for, all of it."""
    token = _whole.set(compiled)
    try:
        yield
    finally:
        _whole.reset(token)


def compiles_this():
    """Returns whether XLA compiles all of the graph that is being built."""
    return _whole.get()


def capabilities():
    """Returns the compute capability of each GPU that this process may use, as (9, 0) of an H100."""
    gpus = tf.config.get_visible_devices("GPU")
    details = map(tf.config.experimental.get_device_details, gpus)
    return [found.get("compute_capability", (0, 0)) for found in details]


@functools.cache
def works():
    """Returns whether XLA compiles for the accelerators of this process, by a trial."""
    found = capabilities()
    if any(capability >= TOO_NEW for capability in found):
        return False
    try:
        with tf.init_scope():  # not in the graph that is being built
            return not found or bool(tf.function(tf.sign, jit_compile=True)(tf.ones([])) == 1)
    except (tf.errors.OpError, RuntimeError):
        return False


def pays(strategy):
    """Returns whether a step is faster, and possible, that XLA compiles whole: on one GPU."""
    return device_types(strategy) == ["GPU"] and strategy.num_replicas_in_sync == 1 and works()


def device_types(strategy):
    """Returns the types of the devices of this process that a strategy uses, as ["GPU", "GPU"]."""
    return [tf.DeviceSpec.from_string(name).device_type for name in strategy.extended.worker_devices]


def is_to_compile(asked, strategy, deterministic=False):
    """Returns whether XLA is to compile a step whole.

    Args:
        asked: True, False, or `AUTO`: if that is faster.
        strategy: that the step runs on.
        deterministic: operators are; then Keras has XLA compile nothing.

    Raises:
        UserError: it is asked for, and cannot be had.
    """
    if asked is True and not works():
        raise UserError(
            "--jit_compile: XLA does not compile for this GPU (TensorFlow 2.21 knows none of compute "
            "capability 12.0 and later); drop it"
        )
    return not deterministic and (pays(strategy) if asked == AUTO else asked)


def kept(*tensors):
    """Returns tensors as they are to be in memory, in a graph that XLA compiles whole.

    XLA joins what follows with what computes them: it would write intermediates of theirs, in float32,
    or what a later formula has in common with an earlier one, to read that instead.
    """
    return gen_xla_ops.xla_optimization_barrier(tensors)
