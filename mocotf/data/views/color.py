"""Photometric operators on batches, with a parameter for each image.

`images` are float32 `[n, 3, H, W]` in [0, 1], a plane for each colour; so are results. Operators are
torchvision's: `tf.image.random_brightness` adds where brightness multiplies, `random_contrast` blends
with the mean of each channel where contrast blends with the mean of the gray image.

All shapes are static and all branches conditions or selections, so that XLA can fuse them.
`mocotf.data.views.numba_ops` has the same operators for one image on a host.
"""

import functools
import itertools

import numpy as np
import tensorflow as tf

LUMA = (0.299, 0.587, 0.114)
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
BLUR_RADIUS = 8  # four times the largest σ


def where_any(chosen, change, images, conditions=True):
    """Returns change(images) where `chosen` bool `[n]`; with `conditions` it costs nothing where no
    image is chosen.

    A GPU's host would wait at each condition until all that was asked for is computed.
    """
    if not conditions:
        return tf.where(_per_image(chosen), change(images), images)

    def changed():
        # One image that is chosen is all of them.
        if images.shape[0] == 1:
            return change(images)
        return tf.where(_per_image(chosen), change(images), images)

    return tf.cond(tf.reduce_any(chosen), changed, lambda: images)


def gray(images):
    """Returns the luma `[n, 1, H, W]`."""
    r, g, b = tf.unstack(images, axis=1)
    return (LUMA[0] * r + LUMA[1] * g + LUMA[2] * b)[:, None]


def blend(images, base, factor):
    """Returns factor · images + (1 - factor) · base, clipped to [0, 1]; factor `[n]`."""
    factor = _per_image(factor)
    return tf.clip_by_value(factor * images + (1 - factor) * base, 0, 1)


def scale(images, brightness, contrast):
    """Returns images `[n, C, H, W]` of any units, brighter and of more contrast by factors `[n, C]`.

    Each channel is multiplied by the first, and its differences from its mean by the second: what
    `blend` does to RGB, but that nothing is clipped. In which order makes no difference.
    """
    brightness, contrast = (factor[..., None, None] for factor in (brightness, contrast))
    return brightness * (contrast * images + (1 - contrast) * _mean(images))


def hue(images, shift):
    """Shifts the hue by `shift` `[n]` turns, wrapping."""
    r, g, b = tf.unstack(images, axis=1)
    value = tf.maximum(tf.maximum(r, g), b)
    chroma = value - tf.minimum(tf.minimum(r, g), b)
    red, green = value == r, value == g
    ahead = tf.where(red, g - b, tf.where(green, b - r, r - g))
    sixths = tf.math.divide_no_nan(ahead, chroma) + tf.where(red, 0.0, tf.where(green, 2.0, 4.0))
    sixths += (6 * shift)[:, None, None]

    def channel(offset):  # back from HSV, without its six cases
        k = sixths + offset
        k -= 6 * tf.floor(k / 6)  # floormod, which is several times slower
        return value - chroma * tf.clip_by_value(tf.minimum(k, 4 - k), 0, 1)

    return tf.stack([channel(5.0), channel(3.0), channel(1.0)], axis=1)


def orders(strengths):
    """Returns every order of the operators whose strength is not 0, int32 `[orders, operators]`."""
    used = [op for op in (BRIGHTNESS, CONTRAST, SATURATION, HUE) if strengths[op]]
    return np.array(list(itertools.permutations(used)), np.int32)


def jitter(images, draw, factors, strengths, conditions=True):
    """Applies the operators in a random order of its own for each image.

    Args:
        draw: chooses the order, uniform in [0, 1), `[n]`.
        factors: brightness, contrast and saturation factors and hue shift, `[n, 4]`; (1, 1, 1, 0)
            changes nothing.
        strengths: of the recipe; operators of strength 0 are left out.
        conditions: as `where_any` has them.
    """
    every = orders(strengths)
    order = tf.gather(tf.constant(every), tf.cast(draw * len(every), tf.int32))
    alone = conditions and images.shape[0] == 1
    apply = _apply_to_one if alone else functools.partial(_apply, conditions=conditions)
    for place in range(every.shape[1]):
        op = order[:, place]
        images = apply(images, op, tf.gather(factors, op, batch_dims=1))
    return images


def _apply(images, op, factor, conditions):
    """Applies to each image its operator.

    Brightness, contrast and saturation are one operation, a blend, with different bases: so it costs
    at most one blend and one shift of hue for the batch.
    """
    blended = functools.partial(_blend_as, op=op, factor=factor)
    images = where_any(op != HUE, blended, images, conditions)
    return where_any(op == HUE, functools.partial(hue, shift=factor), images, conditions)


def _blend_as(images, op, factor):
    luma = gray(images)
    op = _per_image(op)
    base = tf.where(op == SATURATION, luma, tf.where(op == CONTRAST, _mean(luma), 0))
    return blend(images, base, factor)


# A function of its own: XLA's compiler would copy what follows a switch into all its branches.
@tf.function(jit_compile=True, autograph=False)
def _apply_to_one(images, op, factor):
    """As `_apply`, where n = 1: computes nothing but the one operator."""
    operators = {
        BRIGHTNESS: lambda: blend(images, 0, factor),
        CONTRAST: lambda: blend(images, _mean(gray(images)), factor),
        SATURATION: lambda: blend(images, gray(images), factor),
        HUE: lambda: hue(images, factor),
    }
    return tf.switch_case(op[0], operators)


def _mean(luma):
    return tf.reduce_mean(luma, axis=[2, 3], keepdims=True)


def blur(images, sigma):
    """Gaussian blur with σ `[n]` pixels, 0 ≤ σ ≤ 2; edge pixels are repeated beyond the border."""
    offsets = tf.range(-BLUR_RADIUS, BLUR_RADIUS + 1, dtype=tf.float32)
    exponent = -tf.square(offsets) / (2 * tf.square(tf.maximum(sigma, 1e-3))[:, None])
    kernel = tf.nn.softmax(exponent, axis=1)  # [n, 2R + 1]
    return _convolve(_convolve(images, kernel, axis=2), kernel, axis=3)


def _convolve(images, kernel, axis):
    """Sums shifted images: no convolution has a kernel for each image."""
    R, side = BLUR_RADIUS, images.shape[axis]
    first, last = (tf.gather(images, [i], axis=axis) for i in (0, side - 1))
    padded = tf.concat([tf.repeat(first, R, axis), images, tf.repeat(last, R, axis)], axis)

    def shifted(by):
        begin = [0, 0, 0, 0]
        begin[axis] = R + by
        return tf.slice(padded, begin, [-1, *images.shape[1:]])

    total = _per_image(kernel[:, R]) * images
    for t in range(1, R + 1):  # the kernel is symmetric
        total += _per_image(kernel[:, R + t]) * (shifted(-t) + shifted(t))
    return total


def _per_image(x):
    return x[:, None, None, None]
