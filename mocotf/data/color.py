"""Photometric operators on batches, with a parameter for each image.

`images` are float32 `[n, H, W, 3]` in [0, 1]; so are results. Operators are torchvision's:
`tf.image.random_brightness` adds where brightness multiplies, `random_contrast` blends with the mean
of each channel where contrast blends with the mean of the gray image.
"""

import itertools

import numpy as np
import tensorflow as tf

LUMA = (0.299, 0.587, 0.114)
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
BLUR_RADIUS = 8  # four times the largest σ


def gray(images):
    """Returns the luma `[n, H, W, 1]`."""
    return tf.tensordot(images, tf.constant(LUMA), 1)[..., None]


def blend(images, base, factor):
    """Returns factor · images + (1 - factor) · base, clipped to [0, 1]; factor `[n]`."""
    factor = factor[:, None, None, None]
    return tf.clip_by_value(factor * images + (1 - factor) * base, 0, 1)


def brightness(images, factor):
    """Multiplies by `factor` `[n]`."""
    return blend(images, tf.zeros([]), factor)


def contrast(images, factor):
    """Blends with the mean of the gray image."""
    return blend(images, tf.reduce_mean(gray(images), axis=[1, 2], keepdims=True), factor)


def saturation(images, factor):
    """Blends with the gray image."""
    return blend(images, gray(images), factor)


def hue(images, shift):
    """Shifts the hue by `shift` `[n]` turns, wrapping."""
    hsv = tf.image.rgb_to_hsv(images)
    turned = tf.math.floormod(hsv[..., :1] + shift[:, None, None, None], 1.0)
    return tf.image.hsv_to_rgb(tf.concat([turned, hsv[..., 1:]], axis=-1))


def orders(strengths):
    """Returns every order of the operators whose strength is not 0, int32 `[orders, operators]`."""
    used = [op for op in (BRIGHTNESS, CONTRAST, SATURATION, HUE) if strengths[op]]
    return np.array(list(itertools.permutations(used)), np.int32)


def jitter(images, draw, factors, strengths):
    """Applies the operators in a random order of its own for each image.

    Brightness, contrast and saturation are one operation, a blend, with different bases: so each
    place in the order costs one blend for the batch, and hue runs only on the images whose turn it is.

    Args:
        draw: chooses the order, uniform in [0, 1), `[n]`.
        factors: brightness, contrast and saturation factors and hue shift, `[n, 4]`; (1, 1, 1, 0)
            changes nothing.
        strengths: of the recipe; operators of strength 0 are left out.
    """
    every = orders(strengths)
    order = tf.gather(tf.constant(every), tf.cast(draw * len(every), tf.int32))
    for place in range(every.shape[1]):
        op = order[:, place]
        if any(strengths[:HUE]):
            images = _blend_at(images, op, factors, strengths)
        if strengths[HUE]:
            images = _hue_at(images, op, factors[:, HUE])
    return images


def _blend_at(images, op, factors, strengths):
    factor = tf.where(op == HUE, 1.0, tf.gather(factors, op, batch_dims=1))
    base = tf.zeros([])
    if strengths[CONTRAST] or strengths[SATURATION]:
        luma = gray(images)
        mean = tf.reduce_mean(luma, axis=[1, 2], keepdims=True)
        op = op[:, None, None, None]
        base = tf.where(op == SATURATION, luma, tf.where(op == CONTRAST, mean, 0))
    return blend(images, base, factor)


def _hue_at(images, op, shift):
    rows = tf.where((op == HUE) & (shift != 0))

    def turn():
        turned = hue(tf.gather_nd(images, rows), tf.gather_nd(shift, rows))
        return tf.tensor_scatter_nd_update(images, rows, turned)

    return tf.cond(tf.size(rows) > 0, turn, lambda: images)


def blur(images, sigma):
    """Gaussian blur with σ `[n]` pixels, 0 ≤ σ ≤ 2; edge pixels are repeated beyond the border."""
    rows = _gaussian_matrix(sigma, images.shape[1])
    columns = _gaussian_matrix(sigma, images.shape[2])
    n, H, W, C = tf.shape(images)[0], *images.shape[1:]
    x = tf.reshape(tf.matmul(rows, tf.reshape(images, [n, H, W * C])), [n, H, W, C])
    return tf.matmul(columns[:, None], x)


def _gaussian_matrix(sigma, side):
    """Returns `[n, side, side]`, whose row i is the Gaussian around i, folded in at the borders."""
    offsets = tf.range(-BLUR_RADIUS, BLUR_RADIUS + 1, dtype=tf.float32)
    exponent = -tf.square(offsets) / (2 * tf.square(tf.maximum(sigma, 1e-3))[:, None])
    kernel = tf.nn.softmax(exponent, axis=1)  # [n, 2R + 1]
    # targets[i, t] is the pixel that tap t of row i reads.
    taps = tf.range(-BLUR_RADIUS, BLUR_RADIUS + 1)
    targets = tf.clip_by_value(tf.range(side)[:, None] + taps, 0, side - 1)
    reads = tf.one_hot(targets, side)  # [side, 2R + 1, side]
    return tf.einsum("nt,itj->nij", kernel, reads)
