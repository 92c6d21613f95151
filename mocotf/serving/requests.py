"""From requests to the encoder's views, inside the served graph."""

import functools

import tensorflow as tf

from mocotf.data.batches import PARALLEL
from mocotf.data.pretraining import prepare
from mocotf.data.views.formats import SERVED_PIXELS
from mocotf.data.views.orientation import decode_image

CLASSIFY = "classify"  # of a classifier, beside `signatures_of`
CHANNELS_OF_PNG = 4  # at most


@functools.cache
def signatures_of(channels, max_pixels=SERVED_PIXELS):
    """Returns name → (input, function from one element of that, and whether it is to be turned as its
    EXIF says, to an image as `prepare` takes it) of the signatures that take images.

    Args:
        channels: of images that are not RGB, see `Augmentation`. Of more than a PNG can have no file is
            read: what reads others is Python, which a server has not.
        max_pixels: of an encoded image, see `DataSettings`.
    """

    def image(encoded, upright):
        return decode_image(encoded, upright, False, channels, max_pixels)

    def image_of_example(serialized, upright):
        wanted = {"image/encoded": tf.io.FixedLenFeature([], tf.string)}
        return image(tf.io.parse_single_example(serialized, wanted)["image/encoded"], upright)

    def decoded(image, _):
        return tf.debugging.check_numerics(image, "no image") if channels else image

    dtype = tf.float32 if channels else tf.uint8
    pixels = tf.TensorSpec([None, None, None, channels or 3], dtype, "image"), decoded
    if channels and channels > CHANNELS_OF_PNG:
        return {"serving_default": pixels, "serving_tensor": pixels}
    return {
        "serving_default": (tf.TensorSpec([None], tf.string, "image_bytes"), image),
        "serving_tensor": pixels,
        "serving_example": (tf.TensorSpec([None], tf.string, "examples"), image_of_example),
    }


@tf.autograph.experimental.do_not_convert
def views_of(elements, image_of, view, upright=False):
    """Returns the evaluation views of a request, and which of its elements are images.

    A request is a small data set, for graphs have no exceptions: ignoring errors is how they catch one.
    What fails is missing from its only batch, which has the places of what did not.

    Args:
        elements: a batch of n, of any size, also none.
        image_of: makes an image of one, as of `signatures_of`; may fail.
        view: the `Augmentation` that `prepare` takes.
        upright: turn images as their EXIF says.

    Returns:
        float32 `[max(n, 1), S, S, C]`, zero where there is no image, and bool `[n]`. TensorFlow's
        convolutions take no empty batch.
    """
    n, one = tf.shape(elements)[0], view.shape
    rows = tf.maximum(n, 1)

    def numbered(place, element):
        return place, prepare(image_of(element, upright), view)

    made = tf.data.Dataset.from_tensor_slices((tf.range(n), elements)).map(numbered, **PARALLEL)
    nothing = tf.data.Dataset.from_tensors((tf.zeros([0], tf.int32), tf.zeros([0, *one])))
    made = made.ignore_errors().batch(tf.cast(rows, tf.int64)).concatenate(nothing).take(1)
    places, views = made.get_single_element()
    places = places[:, None]
    views = tf.scatter_nd(places, views, [rows, *one])
    valid = tf.scatter_nd(places, tf.ones_like(places[:, 0]), [n]) > 0
    return views, valid
