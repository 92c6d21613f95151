"""Random resized crops as torchvision's `RandomResizedCrop` and Pillow define them.

TensorFlow's `sample_distorted_bounding_box` draws the aspect ratio uniformly instead of
log-uniformly, tries 100 times and falls back to the whole image: other crops.
"""

import math

import tensorflow as tf

from mocotf.data import recipe

LOG_ASPECT = math.log(4 / 3)  # aspect ratios from 3/4 to 4/3


def sample_window(draws, height, width, min_area):
    """Returns random windows, the first of ten tries that fits; a centre crop if none does.

    Args:
        draws: uniforms in [0, 1), `[…, DRAWS]`.
        height, width: of the images, int32 `[…]`.
        min_area: smallest share of the area, in (0, 1].

    Returns:
        (top, left, height, width): int32 `[…]` each, in pixels, inside the image.
    """
    H, W = (tf.cast(side, tf.float32)[..., None] for side in (height, width))
    area = H * W * (min_area + (1 - min_area) * draws[..., recipe.AREA])  # […, 10]
    aspect = tf.exp((2 * draws[..., recipe.ASPECT] - 1) * LOG_ASPECT)
    w = tf.round(tf.sqrt(area * aspect))
    h = tf.round(tf.sqrt(area / aspect))
    fits = (w > 0) & (w <= W) & (h > 0) & (h <= H)
    first = tf.argmax(fits, axis=-1, output_type=tf.int32)[..., None]
    rank = len(first.shape) - 1
    w = tf.gather(w, first, batch_dims=rank, axis=-1)
    h = tf.gather(h, first, batch_dims=rank, axis=-1)

    top = tf.floor(draws[..., recipe.TOP, None] * (H - h + 1))
    left = tf.floor(draws[..., recipe.LEFT, None] * (W - w + 1))
    centre = _centre_window(H, W)
    found = tf.reduce_any(fits, axis=-1, keepdims=True)
    window = [tf.where(found, a, b) for a, b in zip((top, left, h, w), centre, strict=True)]
    return tuple(tf.cast(side[..., 0], tf.int32) for side in window)


def _centre_window(H, W):
    """Returns the largest centred window whose aspect ratio is in [3/4, 4/3]."""
    w = tf.minimum(W, tf.round(H * (4 / 3)))
    h = tf.minimum(H, tf.round(W / (3 / 4)))
    return tf.floor((H - h) / 2), tf.floor((W - w) / 2), h, w


def resize(image, size):
    """Resizes one image `[h, w, 3]` to `[size, size, 3]` float32, bilinear with antialias."""
    return tf.image.resize(tf.cast(image, tf.float32), (size, size), antialias=True)


def crop_and_resize(images, window, size):
    """Cuts a window of its own from each of a batch of equal-sized images, and resizes it.

    Bilinear with antialias, as `resize`; it is two products with small matrices.

    Args:
        images: `[n, H, W, 3]`, any dtype.
        window: (top, left, height, width), int32 `[n]` each.
        size: side of the result in pixels.

    Returns:
        float32 `[n, size, size, 3]`, of the images' range.
    """
    top, left, height, width = window
    n, H, W, C = (tf.shape(images)[i] for i in range(4))
    rows = _resampling_matrix(top, height, H, size)  # [n, size, H]
    columns = _resampling_matrix(left, width, W, size)  # [n, size, W]
    images = tf.cast(images, tf.float32)
    x = tf.matmul(rows, tf.reshape(images, [n, H, W * C]))
    x = tf.matmul(columns[:, None], tf.reshape(x, [n, size, W, C]))
    return tf.ensure_shape(x, [None, size, size, 3])


def _resampling_matrix(start, length, full, size):
    """Returns the triangle filter that maps pixels [start, start + length) to `size` pixels."""
    start, length = (tf.cast(x, tf.float32)[:, None, None] for x in (start, length))
    scale = length / size
    centre = start + (tf.range(size, dtype=tf.float32)[:, None] + 0.5) * scale
    pixel = tf.cast(tf.range(full), tf.float32)
    weight = tf.nn.relu(1 - tf.abs(pixel + 0.5 - centre) / tf.maximum(scale, 1))
    inside = (pixel >= start) & (pixel < start + length)
    weight = tf.where(inside, weight, 0)
    return weight / tf.reduce_sum(weight, axis=-1, keepdims=True)
