"""The input pipelines: view pairs for pre-training, centre views for evaluation."""

import tensorflow as tf

from mocotf.data import crop
from mocotf.data.decode import decode
from mocotf.data.decode import or_else
from mocotf.data.decode import random_crops
from mocotf.data.views import augment
from mocotf.data.views import normalize
from mocotf.data.views import view_draws

PARALLEL = {"num_parallel_calls": tf.data.AUTOTUNE, "deterministic": True}
NOTHING_DECODES = "no image of a whole batch decodes"
BATCHED_UP_TO = 64  # pixels: smaller images are augmented as a batch, larger ones one by one


def two_crops(source, augmentation, *, batch_size, seed, bad_images, first_step=0):
    """Returns the endless dataset of view pairs that pre-training reads.

    Every draw is a pure function of (seed, number of the image in the run); each image and each view
    has its own. An image that does not decode is reported and replaced by the next of its batch.

    Args:
        source: a `Source` of at least `batch_size` images.
        augmentation: an `Augmentation`.
        batch_size: global; an epoch drops its last, partial batch.
        seed: of the run.
        bad_images: a `BadImages`.
        first_step: step of the run whose batch comes first.

    Returns:
        Dataset of (x_q, x_k), float32 `[batch_size, size, size, 3]` each.
    """
    per_epoch = source.size // batch_size * batch_size
    drawn = source.draw(seed, first_step * batch_size, per_epoch)

    if source.shape:
        batches = drawn.map(
            lambda number, handle: (source.load(handle), view_draws(seed, number)), **PARALLEL
        ).batch(batch_size, drop_remainder=True)

        def views(images, draws):
            return tuple(
                augment(_crop_batch(images, draws[:, v], augmentation), draws[:, v], augmentation)
                for v in range(2)
            )

        pairs = batches.map(views, **PARALLEL)
    else:
        batches = drawn.map(
            lambda number, handle: _view_pair(
                source, handle, view_draws(seed, number), augmentation, bad_images
            ),
            **PARALLEL,
        ).batch(batch_size, drop_remainder=True)
        pairs = batches.map(_replace_bad, **PARALLEL)
        if augmentation.size <= BATCHED_UP_TO:
            pairs = pairs.map(
                lambda crops, draws: tuple(
                    augment(crops[:, v], draws[:, v], augmentation) for v in range(2)
                ),
                **PARALLEL,
            )
        else:
            pairs = pairs.map(lambda views, draws: (views[:, 0], views[:, 1]), **PARALLEL)
    return pairs.prefetch(tf.data.AUTOTUNE)


def _crop_batch(images, draws, augmentation):
    """Returns random crops of equal-sized uint8 images, float32 in [0, 1]."""
    height, width = tf.shape(images)[1], tf.shape(images)[2]
    window = crop.sample_window(draws, height, width, augmentation.min_area)
    return crop.crop_and_resize(images, window, augmentation.size) / 255


def _view_pair(source, handle, draws, augmentation, bad_images):
    """Returns (decoded?, both views `[2, S, S, 3]`, draws); small views are not augmented yet."""
    size = augmentation.size

    def crops():
        crops = random_crops(source.load(handle), draws, size, augmentation.min_area)
        if size <= BATCHED_UP_TO:
            return crops
        return tf.concat(
            [augment(crops[v : v + 1], draws[v : v + 1], augmentation) for v in range(2)], 0
        )

    decoded, views = or_else(crops, tf.zeros([2, size, size, 3]))
    _report_bad(decoded, source, handle, bad_images)
    return decoded, views, draws


def _report_bad(decoded, source, handle, bad_images):
    tf.cond(
        decoded,
        lambda: 0,
        lambda: tf.numpy_function(bad_images.report, [source.describe(handle)], tf.int32),
    )


def _replace_bad(decoded, views, draws):
    """Puts the next decoded image of the batch, cyclically, in the place of each that is not."""
    n = tf.size(decoded)
    none_left = tf.debugging.Assert(tf.reduce_any(decoded), [NOTHING_DECODES])
    with tf.control_dependencies([none_left]):
        # distance[i, j]: places from i forward to j, n where j is bad
        distance = (tf.range(n)[None] - tf.range(n)[:, None]) % n
    distance = tf.where(decoded[None], distance, n)
    return tf.gather(views, tf.argmin(distance, axis=1)), draws


def centre_views(source, part, augmentation, batch_size, bad_images, every=1):
    """Returns the finite dataset of (image, label) that evaluation reads, without randomness.

    Short side to 256/224 of the view's, centre crop, normalise, as the papers' linear protocol; images
    that have the view's size already are used whole. Images that do not decode are reported and left
    out.

    Args:
        source: a `Source` with labels.
        part: "bank" or "queries".
        augmentation: gives size, mean and std.
        batch_size: images a batch; the last may be smaller.
        bad_images: a `BadImages`.
        every: use one image of so many.
    """
    blank = tf.zeros([augmentation.size, augmentation.size, 3])

    def view(handle, label):
        decoded, image = or_else(
            lambda: prepare(source.load(handle), augmentation, encoded=not source.shape), blank
        )
        _report_bad(decoded, source, handle, bad_images)
        return decoded, image, label

    views = source.evaluation(part).shard(every, 0).map(view, **PARALLEL)
    views = views.filter(lambda decoded, *_: decoded).map(lambda _, image, label: (image, label))
    return views.batch(batch_size).prefetch(tf.data.AUTOTUNE)


def prepare(image, augmentation, encoded=True):
    """Returns the evaluation view of one image, float32 `[S, S, 3]`, normalised."""
    size = augmentation.size
    if encoded:
        image = decode(image)
    height, width = tf.shape(image)[0], tf.shape(image)[1]
    fits = (height == size) & (width == size)
    image = tf.cond(fits, lambda: tf.cast(image, tf.float32), lambda: _resize_and_crop(image, size))
    return normalize(tf.ensure_shape(image, [size, size, 3]) / 255, augmentation)


def _resize_and_crop(image, size):
    height, width = tf.shape(image)[0], tf.shape(image)[1]
    short = size * 256 // 224
    # torchvision truncates the long side.
    new_height = tf.where(height <= width, short, short * height // width)
    new_width = tf.where(height <= width, short * width // height, short)
    image = tf.image.resize(tf.cast(image, tf.float32), [new_height, new_width], antialias=True)
    # torchvision rounds half the margin, halves to even.
    top = tf.cast(tf.round((tf.cast(new_height, tf.float32) - size) / 2), tf.int32)
    left = tf.cast(tf.round((tf.cast(new_width, tf.float32) - size) / 2), tf.int32)
    return image[top : top + size, left : left + size]
