"""From requests to the encoder's views, inside the served graph."""

import tensorflow as tf

from mocotf.data.batches import PARALLEL
from mocotf.data.pretraining import prepare
from mocotf.data.views.orientation import decode_image


def _image(encoded, upright):
    """Returns the image of a file's bytes; of the formats that a server without Python reads."""
    return decode_image(encoded, upright, python=False)


def _image_of_example(serialized, upright):
    """Returns the image of a serialized tf.Example that has it, encoded, as image/encoded."""
    wanted = {"image/encoded": tf.io.FixedLenFeature([], tf.string)}
    return _image(tf.io.parse_single_example(serialized, wanted)["image/encoded"], upright)


# signature: (its input, function from one element of that, and whether it is to be turned as its EXIF
# says, to a uint8 image `[h, w, 3]`)
SIGNATURES = {
    "serving_default": (tf.TensorSpec([None], tf.string, "image_bytes"), _image),
    "serving_tensor": (
        tf.TensorSpec([None, None, None, 3], tf.uint8, "image"),
        lambda pixels, _: pixels,
    ),
    "serving_example": (tf.TensorSpec([None], tf.string, "examples"), _image_of_example),
}
CLASSIFY = "classify"  # of a classifier, beside them


@tf.autograph.experimental.do_not_convert
def views_of(elements, image_of, view, upright=False):
    """Returns the evaluation views of a request, and which of its elements are images.

    A request is a small data set, for graphs have no exceptions: ignoring errors is how they catch one.
    What fails is missing from its only batch, which has the places of what did not.

    Args:
        elements: a batch of n, of any size, also none.
        image_of: makes a uint8 image `[h, w, 3]` of one, as in `SIGNATURES`; may fail.
        view: an `Augmentation`; gives size, mean and std.
        upright: turn images as their EXIF says.

    Returns:
        float32 `[max(n, 1), S, S, 3]`, zero where there is no image, and bool `[n]`. TensorFlow's
        convolutions take no empty batch.
    """
    n, S = tf.shape(elements)[0], view.size
    rows = tf.maximum(n, 1)

    def numbered(place, element):
        return place, prepare(image_of(element, upright), view)

    made = tf.data.Dataset.from_tensor_slices((tf.range(n), elements)).map(numbered, **PARALLEL)
    nothing = tf.data.Dataset.from_tensors((tf.zeros([0], tf.int32), tf.zeros([0, S, S, 3])))
    made = made.ignore_errors().batch(tf.cast(rows, tf.int64)).concatenate(nothing).take(1)
    places, views = made.get_single_element()
    places = places[:, None]
    views = tf.scatter_nd(places, views, [rows, S, S, 3])
    valid = tf.scatter_nd(places, tf.ones_like(places[:, 0]), [n]) > 0
    return views, valid
