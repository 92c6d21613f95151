"""From an image and its mask to what a segmenter sees: scaled, cropped, mirrored."""

import dataclasses

import tensorflow as tf

from mocotf.data.batches import good_ones
from mocotf.data.batches import whole_batches_of_files
from mocotf.data.views.tensorflow_ops import normalize
from mocotf.transfer.segmenter import IGNORED


@dataclasses.dataclass(frozen=True)
class Crop:
    """What is drawn of a training image.

    Attributes:
        size: side of the crop, pixels.
        scales: (smallest, largest) factor by which the image is resized before, drawn uniformly.
    """

    size: int
    scales: tuple[float, float]


@tf.autograph.experimental.do_not_convert
def training_batches(masked, crop, view, order, *, bad_images, first_step=0):
    """Returns the endless dataset of what a segmenter learns from; every draw is a pure function of the
    seed and the image's key.

    Args:
        masked: a `Masked`.
        crop: a `Crop`.
        view: has mean and std of images.
        order: an `Order`.
        bad_images: a `BadImages`.
        first_step: of the run, whose batch comes first.

    Returns:
        Dataset of images float32 `[n, S, S, 3]`, normalised, and masks uint8 `[n, S, S]`.
    """
    S = crop.size

    def make(key, handle):
        draws = tf.random.stateless_uniform([4], tf.stack([tf.cast(order.seed, tf.int64), key]))
        image, mask = resized(*masked.load(handle), draws[0], crop.scales)
        image, mask = cropped(normalize(image / 255, view), mask, draws[1:3], S)
        flip = draws[3] < 0.5
        return tf.where(flip, image[:, ::-1], image), tf.where(flip, mask[:, ::-1], mask)

    blanks = tf.zeros([0, S, S, 3]), tf.zeros([0, S, S], tf.uint8)
    drawn = masked.draw(order, first_step)
    batches = whole_batches_of_files(drawn, order.share, make, blanks, masked.describe, bad_images)
    return batches.prefetch(tf.data.AUTOTUNE)


@tf.autograph.experimental.do_not_convert
def measured_views(masked, view, bad_images, most=None):
    """Returns the finite dataset of (image, mask), one whole test image each: float32 `[h, w, 3]`,
    normalised, and uint8 `[h, w]`; images that do not decode are left out.

    Args:
        masked, view, bad_images: as in `training_batches`.
        most: of the test images; None for all.
    """

    def make(handle):
        image, mask = masked.load(handle)
        return normalize(tf.cast(image, tf.float32) / 255, view), mask

    blank = tf.zeros([0, 0, 3]), tf.zeros([0, 0], tf.uint8)
    tests = masked.tests().take(most or -1)
    return good_ones(tests, make, blank, masked.describe, bad_images).prefetch(tf.data.AUTOTUNE)


def resized(image, mask, draw, scales):
    """Returns image `[h, w, 3]`, float32 in 0…255, and mask `[h, w]`, larger by the factor that a
    uniform draw chooses of `scales`; pixels of the mask keep their classes."""
    factor = scales[0] + draw * (scales[1] - scales[0])
    size = tf.shape(image)[:2]
    new = tf.maximum(tf.cast(tf.round(tf.cast(size, tf.float32) * factor), tf.int32), 1)
    image = tf.cast(image, tf.float32)

    def resize():
        nearest = tf.image.resize(mask[..., None], new, method="nearest")[..., 0]
        return tf.image.resize(image, new, antialias=True), nearest

    return tf.cond(tf.reduce_all(new == size), lambda: (image, mask), resize)


def cropped(image, mask, draws, size):
    """Returns a window of image `[h, w, 3]` and mask `[h, w]` at a random place; where they are smaller
    it is filled up, on the right and below, with zeros and IGNORED.

    Args:
        draws: uniforms `[2]`, which choose top and left.
        size: side of the window, pixels.
    """
    spare = tf.maximum(size - tf.shape(mask), 0)
    image = tf.pad(image, [[0, spare[0]], [0, spare[1]], [0, 0]])
    mask = tf.pad(mask, [[0, spare[0]], [0, spare[1]]], constant_values=IGNORED)
    room = tf.cast(tf.shape(mask) - size + 1, tf.float32)
    top, left = tf.unstack(tf.cast(tf.floor(draws * room), tf.int32))
    image = image[top : top + size, left : left + size]
    mask = mask[top : top + size, left : left + size]
    return tf.ensure_shape(image, [size, size, 3]), tf.ensure_shape(mask, [size, size])
