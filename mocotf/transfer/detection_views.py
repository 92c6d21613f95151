"""From an image with boxes to what a detector sees: one canvas for all, of several scales."""

import dataclasses

import tensorflow as tf

from mocotf.data.batches import good_ones
from mocotf.data.batches import whole_batches_of_files
from mocotf.data.views.decode import decode
from mocotf.data.views.tensorflow_ops import normalize

NO_BOX, NO_LABEL = -1.0, -1  # fill up the boxes of an image; no anchor fits them
SMALLEST = 1.0  # side of a box that is learned, pixels of the canvas


@dataclasses.dataclass(frozen=True)
class Canvas:
    """How images are laid on canvases of one size, at the top left.

    An image is scaled until its short side is one of `short_sides`, and its long side at most the
    canvas's; what is left of the canvas has the mean colour. KerasHub's anchors need the size of what
    they are for to be known when a graph is made, so all canvases are of one.

    Attributes:
        size: side of the canvas, pixels.
        short_sides: from which one is drawn for each training image.
        test_short_side: of test images.
        most_boxes: of an image; more are left out of training, the last ones.
    """

    size: int
    short_sides: tuple[int, ...]
    test_short_side: int
    most_boxes: int = 100


@tf.autograph.experimental.do_not_convert
def training_batches(scenes, canvas, view, order, *, bad_images, first_step=0):
    """Returns the endless dataset of what a detector learns from; every draw is a pure function of the
    seed and the image's key.

    Args:
        scenes: a `Scenes`.
        canvas: a `Canvas`.
        view: has mean and std of images.
        order: an `Order`.
        bad_images: a `BadImages`.
        first_step: of the run, whose batch comes first.

    Returns:
        Dataset of images float32 `[n, S, S, 3]`, normalised; boxes float32 `[n, most_boxes, 4]`, y1,
        x1, y2, x2 in pixels of the canvas, filled up with NO_BOX; labels float32 `[n, most_boxes]`.
    """

    def make(key, handle):
        draws = tf.random.stateless_uniform([2], tf.stack([tf.cast(order.seed, tf.int64), key]))
        sides = tf.constant(canvas.short_sides)
        side = sides[tf.cast(draws[0] * len(canvas.short_sides), tf.int32)]
        pixels = _pixels(scenes, handle)
        boxes, labels, hard = scenes.truth(handle, tf.shape(pixels))
        if scenes.hard_are_crowds:
            boxes, labels = boxes[~hard], labels[~hard]
        image, scale = lay(pixels, side, canvas.size)
        height, width = tf.unstack(tf.cast(tf.shape(image)[:2], tf.float32))
        boxes = tf.clip_by_value(boxes * scale, 0.0, tf.stack([height, width, height, width]))
        large = tf.reduce_all(boxes[:, 2:] - boxes[:, :2] >= SMALLEST, axis=1)
        boxes, labels = boxes[large], labels[large]
        image, boxes = flipped(image, boxes, draws[1] < 0.5)
        return on_canvas(image, view, canvas.size), *_filled(boxes, labels, canvas.most_boxes)

    size = canvas.size
    blanks = tf.zeros([0, size, size, 3]), tf.zeros([0, canvas.most_boxes, 4])
    blanks = *blanks, tf.zeros([0, canvas.most_boxes])
    drawn = scenes.draw(order, first_step)
    batches = whole_batches_of_files(drawn, order.share, make, blanks, scenes.describe, bad_images)
    return batches.prefetch(tf.data.AUTOTUNE)


@tf.autograph.experimental.do_not_convert
def measured_views(scenes, canvas, view, bad_images, most=None):
    """Returns the finite dataset of (image on its canvas, scale, size (h, w), boxes, labels, hard), one
    test image each, boxes in pixels of the image itself; images that do not decode are left out.

    Args:
        scenes, canvas, view, bad_images: as in `training_batches`.
        most: of the test images; None for all.
    """

    def make(handle):
        pixels = _pixels(scenes, handle)
        shape = tf.shape(pixels)
        image, scale = lay(pixels, tf.constant(canvas.test_short_side), canvas.size)
        image = on_canvas(image, view, canvas.size)
        return image, scale, shape[:2], *scenes.truth(handle, shape)

    blank = tf.zeros([canvas.size, canvas.size, 3]), tf.ones([]), tf.zeros([2], tf.int32)
    blank = *blank, tf.zeros([0, 4]), tf.zeros([0], tf.int64), tf.zeros([0], tf.bool)
    tests = scenes.tests().take(most or -1)
    return good_ones(tests, make, blank, scenes.describe, bad_images).prefetch(tf.data.AUTOTUNE)


def lay(image, short_side, most):
    """Returns (the image scaled, float32 in 0…255; how often larger it is), see `Canvas`.

    Args:
        image: uint8 `[h, w, 3]`.
        short_side: int32 scalar, pixels.
        most: side that no side of the result exceeds, pixels.
    """
    size = tf.cast(tf.shape(image)[:2], tf.float32)
    scale = tf.minimum(
        tf.cast(short_side, tf.float32) / tf.reduce_min(size), most / tf.reduce_max(size)
    )
    new = tf.clip_by_value(tf.cast(tf.round(size * scale), tf.int32), 1, most)
    resized = tf.cond(
        tf.reduce_all(new == tf.shape(image)[:2]),
        lambda: tf.cast(image, tf.float32),
        lambda: tf.image.resize(image, new, antialias=True),
    )
    return tf.ensure_shape(resized, [None, None, 3]), scale


def flipped(image, boxes, flip):
    """Returns the image `[h, w, 3]` and its boxes `[k, 4]`, mirrored left to right where `flip`."""
    width = tf.cast(tf.shape(image)[1], tf.float32)
    y1, x1, y2, x2 = tf.unstack(boxes, axis=1)
    mirrored = tf.stack([y1, width - x2, y2, width - x1], axis=1)
    return tf.where(flip, image[:, ::-1], image), tf.where(flip, mirrored, boxes)


def on_canvas(image, view, size):
    """Returns an image in 0…255 at the top left of a canvas, float32 `[size, size, 3]`, normalised."""
    height, width = tf.unstack(tf.shape(image)[:2])
    image = normalize(image / 255, view)
    image = tf.pad(image, [[0, size - height], [0, size - width], [0, 0]])
    return tf.ensure_shape(image, [size, size, 3])


def _pixels(scenes, handle):
    loaded = scenes.load(handle)
    is_encoded = loaded.dtype == tf.string
    return decode(loaded, max_pixels=scenes.max_pixels) if is_encoded else loaded


def _filled(boxes, labels, most):
    boxes, labels = boxes[:most], tf.cast(labels[:most], tf.float32)
    lacking = most - tf.shape(labels)[0]
    boxes = tf.pad(boxes, [[0, lacking], [0, 0]], constant_values=NO_BOX)
    labels = tf.pad(labels, [[0, lacking]], constant_values=NO_LABEL)
    return tf.ensure_shape(boxes, [most, 4]), tf.ensure_shape(labels, [most])
