"""Random resized crops as torchvision's `RandomResizedCrop` and Pillow define them.

TensorFlow's `sample_distorted_bounding_box` draws the aspect ratio uniformly instead of
log-uniformly, tries 100 times and falls back to the whole image: other crops.
"""

import math

import tensorflow as tf

from mocotf.data.views import augmentations

LOG_ASPECT = math.log(4 / 3)  # aspect ratios from 3/4 to 4/3
BLOCK = 16  # rows or columns that are made by one matrix
# Widths and reads are rounded up to multiples: oneDNN compiles a product for each shape it meets, which
# takes it as long as the product of an image.
FEW_SHAPES = 64, 4


def sample_window(draws, height, width, min_area):
    """Returns random windows, the first of ten tries that fits; a centre crop if none does.

    Args:
        draws: uniforms in [0, 1), `[…, DRAWS]`.
        height, width: of the images, int32 `[…]`.
        min_area: smallest share of the area, in (0, 1]; a number, or `[…, 1]`.

    Returns:
        (top, left, height, width): int32 `[…]` each, in pixels, inside the image.
    """
    H, W = (tf.cast(side, tf.float32)[..., None] for side in (height, width))
    area = H * W * (min_area + (1 - min_area) * draws[..., augmentations.AREA])  # […, 10]
    aspect = tf.exp((2 * draws[..., augmentations.ASPECT] - 1) * LOG_ASPECT)
    w = tf.round(tf.sqrt(area * aspect))
    h = tf.round(tf.sqrt(area / aspect))
    fits = (w > 0) & (w <= W) & (h > 0) & (h <= H)
    first = tf.argmax(fits, axis=-1, output_type=tf.int32)[..., None]
    rank = len(first.shape) - 1
    w = tf.gather(w, first, batch_dims=rank, axis=-1)
    h = tf.gather(h, first, batch_dims=rank, axis=-1)

    top = tf.floor(draws[..., augmentations.TOP, None] * (H - h + 1))
    left = tf.floor(draws[..., augmentations.LEFT, None] * (W - w + 1))
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
    """Resizes one image `[h, w, C]` to `[size, size, C]` float32, bilinear with antialias.

    As `tf.image.resize`, whose kernel goes pixel by pixel: here a block of rows depends on a few rows
    of the image, and is their product with a small matrix; then the same for columns.
    """
    return join_blocks(resize_to_blocks(image, size), size)


def resize_to_blocks(image, size):
    """Returns `resize`'s result in blocks `[Y, X, BLOCK columns, C, BLOCK rows]`, for `join_blocks`.

    That is how the products leave it. Where XLA joins the blocks, it does so on the way to what comes
    next; TensorFlow would take time for each transposition.
    """
    height, width, channels = tf.shape(image)[0], tf.shape(image)[1], image.shape[2]
    rows, row_weights = _bands(height, size)
    columns, column_weights = _bands(width, size)
    blocks = row_weights.shape[0]
    spare = -width % FEW_SHAPES[0]
    x = tf.pad(tf.reshape(image, [height, width * channels]), [[0, 0], [0, spare * channels]])
    x = tf.cast(tf.gather(x, rows), tf.float32)
    x = tf.matmul(x, row_weights, transpose_a=True, transpose_b=True)
    x = tf.gather(tf.reshape(x, [blocks, width + spare, channels * BLOCK]), columns, axis=1)
    return tf.reshape(tf.matmul(column_weights, x), [blocks, blocks, BLOCK, channels, BLOCK])


def join_blocks(blocks, size):
    """Returns the image `[size, size, C]` of its blocks."""
    side = blocks.shape[0] * BLOCK
    x = tf.reshape(tf.transpose(blocks, [0, 4, 1, 2, 3]), [side, side, blocks.shape[3]])
    return x[:size, :size]


def _bands(length, size):
    """Returns which pixels of `length` each block of `size` needs, and with what weights.

    (pixels, weights): `[blocks, reads]` and `[blocks, BLOCK, reads]`.
    """
    scale = tf.cast(length, tf.float32) / size
    support = tf.maximum(scale, 1)
    blocks = -(-size // BLOCK)
    centre = (tf.reshape(tf.range(blocks * BLOCK, dtype=tf.float32), [blocks, BLOCK, 1]) + 0.5) * scale
    reads = tf.cast(tf.math.ceil((BLOCK - 1) * scale + 2 * support), tf.int32) + 1
    reads += -reads % FEW_SHAPES[1]
    pixels = tf.cast(tf.floor(centre[:, 0] - support), tf.int32) + tf.range(reads)
    inside = (pixels >= 0) & (pixels < length)
    weights = _triangle(pixels[:, None], centre, scale, inside[:, None])
    return tf.clip_by_value(pixels, 0, length - 1), weights


def _triangle(pixel, centre, scale, inside):
    """Returns the antialiased bilinear filter's weights, of sum 1 over the last axis; 0 if all are
    outside."""
    distance = tf.abs(tf.cast(pixel, tf.float32) + 0.5 - centre)
    weight = tf.where(inside, tf.nn.relu(1 - distance / tf.maximum(scale, 1)), 0)
    return tf.math.divide_no_nan(weight, tf.reduce_sum(weight, axis=-1, keepdims=True))


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
    pixel = tf.range(full, dtype=tf.float32)
    return _triangle(pixel, centre, scale, (pixel >= start) & (pixel < start + length))
