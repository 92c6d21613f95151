"""Which kernel computes a layer: decided here, by device, dtype, shape and instruction set.

A layer asks while its graph is built, and takes its plain path, TensorFlow's own operators, where there
is no kernel for it. `--kernels=off` or MOCOTF_KERNELS=off in the environment leave all to plain paths.
"""

import contextlib
import contextvars
import math
import os

import llvmlite.binding
import tensorflow as tf

from mocotf.errors import UserError
from mocotf.nn import xla
from mocotf.nn.kernels import cells
from mocotf.nn.kernels import convolution
from mocotf.nn.kernels import fused_norm
from mocotf.nn.kernels import max_pool
from mocotf.nn.kernels import winograd
from mocotf.nn.kernels import xla_norm

VARIABLE = "MOCOTF_KERNELS"
CHOICES = ("auto", "off")

# Entry → the measurement that justifies it, as docs/internals/performance.md has it.
ENTRIES = {
    # On CPUs.
    "winograd": "a step is 1.07 times as fast (1.05–1.08)",
    "fused_norm": "from 10.7 (10.4–11.1) to 9.2 (8.8–9.5) s a step",
    "kernel_products": "38 to 23 ms, 7 × 7 in float32",
    "float32_for_16_bits": "from .34 to 2.87 images/s",
    "strided_1x1": "oneDNN's gradient is wrong where few channels come in",
    # In graphs that XLA compiles whole.
    "xla_norm": "from 133.3 to 125.6 GB a step",
    "xla_stem": "from 4,591 (4,514–4,685) to 4,891 (4,863–4,911) images/s",
    "xla_max_pool": "3.4 GB and a scatter by atomic operations",
}
NEEDED = {"strided_1x1"}  # not for speed: "off" leaves it on

# What oneDNN needs of a CPU to compute in a dtype; without, TensorFlow takes ten times as long as in
# float32.
INSTRUCTIONS = {tf.bfloat16: "avx512f", tf.float16: "avx512fp16"}
WIDE = ("avx2", "avx512f")  # what Winograd and batch norm were measured with

FEW_PIXELS = 7 * 7  # of an image, as in a ResNet's last stage
MANY_CHANNELS = 128  # from which transforms and copies take less time than they save
MANY_FOR_KERNELS = 64  # likewise, for Winograd's gradient of the kernel, which saves more
MANY_TO_NORMALIZE = 64  # with fewer, batch norm saves less than it takes to compile
FEW_CHANNELS = 16  # of a cell of the stem's: an image has 3
LARGE = 100_000  # values of an image; of a ResNet-50's layers at 224 pixels, all but 17 have as many

_chosen = "auto"
_left_out = contextvars.ContextVar("left_out", default=frozenset())


def choose(kernels):
    """Sets what this process is to use, of `CHOICES`; the environment may still say off."""
    global _chosen
    _chosen = kernels


def is_on():
    """Returns whether kernels are used that are there for speed.

    Raises:
        UserError: the environment says neither auto nor off.
    """
    asked = os.environ.get(VARIABLE, "auto")
    if asked not in CHOICES:
        raise UserError(f"{VARIABLE}={asked}: expected one of {', '.join(CHOICES)}; or unset it")
    return "off" not in (asked, _chosen)


@contextlib.contextmanager
def without(*entries):
    """Within it, layers do as if there were none of these `ENTRIES`."""
    token = _left_out.set(_left_out.get() | {*entries})
    try:
        yield
    finally:
        _left_out.reset(token)


def plain():
    """Within it, all layers take their plain paths: for graphs that other machines are to run."""
    return without(*ENTRIES)


def on_cpu():
    """Returns whether this process has no accelerator, and XLA does not compile the graph that is being
    built: it would take apart what is put together here."""
    if xla.compiles_this():
        return False
    return not any(tf.config.list_logical_devices(kind) for kind in ("GPU", "TPU"))


def arithmetic(dtype):
    """Returns the dtype in which this CPU computes what layers hold in `dtype`: it, or float32."""
    native = dtype not in INSTRUCTIONS or _cpu_has(INSTRUCTIONS[dtype])
    return dtype if native or not _takes("float32_for_16_bits") else tf.float32


def convolution_for(x, shape, stride, padding, training):
    """Returns the `convolution.Ways` of a layer on x, by a kernel of `shape`; None for the plain path.

    Args:
        x: `[n, H, W, Ci]`.
        shape: `[k, k, Ci, Co]`.
        padding: "same" or "valid".
    """
    dtype = arithmetic(x.dtype)
    if not on_cpu() or not (training or dtype != x.dtype):
        return None
    size, channels = shape[0], min(shape[2:])
    ways = plain_ways = convolution.direct(stride, padding)
    if _takes_kernel_products(x, size, stride, padding, channels, dtype):
        ways = ways._replace(kernel_gradient=convolution.kernel_products(stride, padding))
    if dtype != x.dtype:
        ways = convolution.Ways(*(convolution.computed_in(dtype, way) for way in ways))
    winograd_fits = (size, stride, padding) == (3, 1, "same") and None not in x.shape[1:3]
    winograd_pays = dtype == tf.float32 and channels >= MANY_FOR_KERNELS and _cpu_has(*WIDE)
    if winograd_fits and winograd_pays and _takes("winograd"):
        ways = ways._replace(kernel_gradient=winograd.kernel_gradient)
        ways = winograd.WAYS if channels >= MANY_CHANNELS else ways
    return None if ways is plain_ways else ways


def stem_for(x, stride, padding):
    """Returns what convolves images x `[n, H, W, Ci]` as `cells.convolve` does; None for the plain
    path."""
    if not xla.compiles_this() or None in x.shape[1:]:
        return None
    strided = stride > 1 and padding == "valid" and x.shape[-1] * stride**2 <= FEW_CHANNELS
    fits = strided and all(side % stride == 0 for side in x.shape[1:3])
    return cells.convolve if fits and _takes("xla_stem") else None


def _takes_kernel_products(x, size, stride, padding, channels, dtype):
    if size == 1 and stride > 1:
        return _takes("strided_1x1")
    if padding == "same" and stride > 1:
        return False
    lost = size - 1 if padding == "valid" else 0
    pixels = [side and (side - lost + stride - 1) // stride for side in x.shape[1:3]]  # of the result
    few_pixels = None not in pixels and math.prod(pixels) <= FEW_PIXELS
    pays = dtype == tf.float32 and channels >= MANY_CHANNELS and (stride > 1 or few_pixels)
    return pays and not _cpu_has("avx512f") and _takes("kernel_products")


def batch_norm_for(x, groups=1):
    """Returns the kernel that normalises x `[n, H, W, C]` by groups of its batch, as
    `xla_norm.normalize` does; None for the plain path."""
    if xla.compiles_this():
        return xla_norm.normalize if _takes("xla_norm") else None
    if not on_cpu() or arithmetic(x.dtype) != tf.float32 or None in x.shape[1:]:
        return None
    fits = x.shape[-1] >= MANY_TO_NORMALIZE and math.prod(x.shape[1:]) >= LARGE
    # With AVX-512 TensorFlow's own is as fast, but for a batch in groups, which it takes one by one.
    pays = groups > 1 if _cpu_has("avx512f") else _cpu_has("avx2")
    return fused_norm.normalize if fits and pays and _takes("fused_norm") else None


def max_pool_for(x):
    """Returns the kernel that pools x `[n, H, W, C]` in training; None for the plain path."""
    sides_are_even = all(side is not None and side % 2 == 0 for side in x.shape[1:3])
    fits = xla.compiles_this() and sides_are_even and x.dtype != tf.float64
    return max_pool.max_pool if fits and _takes("xla_max_pool") else None


def _takes(entry):
    return entry not in _left_out.get() and (entry in NEEDED or is_on())


def _cpu_has(*instructions):
    """Returns whether this CPU has one of these instruction sets, as LLVM names them."""
    features = llvmlite.binding.get_host_cpu_features()
    return any(features.get(name) for name in instructions)
