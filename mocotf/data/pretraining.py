"""The input pipelines: view pairs for pre-training; centre views, and random ones, for evaluation."""

import itertools

import tensorflow as tf

from mocotf.data.batches import PARALLEL
from mocotf.data.batches import TOGETHER
from mocotf.data.batches import batches_of_files
from mocotf.data.batches import replace_bad
from mocotf.data.batches import reported
from mocotf.data.positives import OnePicture
from mocotf.data.positives import TwoPictures
from mocotf.data.views import crop
from mocotf.data.views.augmentations import DRAWS
from mocotf.data.views.decode import decode
from mocotf.data.views.host import SMALL
from mocotf.data.views.host import pack
from mocotf.data.views.host import small_view_maker
from mocotf.data.views.host import view_maker
from mocotf.data.views.orientation import decode_image
from mocotf.data.views.tensorflow_ops import augment
from mocotf.data.views.tensorflow_ops import normalize
from mocotf.data.views.tensorflow_ops import view_draws

LARGER = 6  # times what Numba needs of a large image is what TensorFlow's operators need to resize it
MOST_PIXELS = 256 * 256  # of an image that is held with many others, to be finished together


# Its functions are graphs as they are; to convert their source takes longer than all else here.
@tf.autograph.experimental.do_not_convert
def random_views(
    source,
    augmentation,
    order,
    *,
    bad_images,
    first_step=0,
    crops_only=False,
    ops="numba",
    data_service=None,
    labels=False,
    views=2,
    indices=False,
):
    """Returns the endless dataset of random views that training reads: of one image, or, where the
    source has `groups`, x_k of another of the image's group.

    Every draw is a pure function of the seed and the image's key; each image and each view has its
    own. An image that does not decode is reported and replaced by the next of its batch.

    Args:
        source: a `Source`, or a `Labelled`, of at least one batch.
        augmentation: an `Augmentation`.
        order: an `Order`; the dataset has this worker's share n of each batch.
        bad_images: a `BadImages`.
        first_step: step of the run whose batch comes first.
        crops_only: stop after crop and resize; `augment_crops` does the rest, on the device.
        ops: what makes views of encoded images, see `view_maker`.
        data_service: address of a tf.data service that makes the views; needs ops "tensorflow".
        labels: add the images' labels to each element, int64 `[n]`.
        views: of an image: 2, x_q and x_k, or 1, x_q by the same draws.
        indices: add the images' indices to each element, int64 `[n]`, last.

    Returns:
        Dataset of (x_q, x_k), float32 `[n, S, S, C]` each; with `crops_only`, of (x_q, x_k, draws),
        uint8 `[n, S, S, 3]` each and float32 `[n, views, DRAWS]`.
    """
    drawn = source.draw(order, first_step)

    told = ([source.label] if labels else []) + ([source.index] if indices else [])
    if source.shape:
        batches = _views_of_arrays(source, drawn, augmentation, order, crops_only, views, told)
    else:
        batches = _views_of_files(
            source, drawn, augmentation, order, crops_only, views, told, ops, python=not data_service
        )
    if data_service:
        # Dynamic sharding gives every step to one of the service's workers.
        batches = batches.apply(
            tf.data.experimental.service.distribute(
                processing_mode=tf.data.experimental.service.ShardingPolicy.DYNAMIC,
                service=data_service,
            )
        )
    if not source.shape:
        batches = batches.map(
            lambda *batch: replace_bad(*batch, bad_images=bad_images, n=order.share), **PARALLEL
        )
    if not crops_only:
        batches = batches.map(lambda *batch: (*batch[:views], *batch[views + 1 :]))
    return batches.prefetch(tf.data.AUTOTUNE)


def augment_crops(augmentation, conditions=True):
    """Returns the function that makes views of a `crops_only` batch, on the device it runs on.

    `conditions` as `augment` has them.
    """

    def views(*crops_and_draws):
        *crops, draws = crops_and_draws
        return tuple(augment(x, draws[:, v], augmentation, conditions) for v, x in enumerate(crops))

    return views


def _views_of_arrays(source, drawn, augmentation, order, crops_only, views, told):
    """Returns batches of (views…, draws, what `told` says of handles…) of images that have one size,
    made a batch at a time by TensorFlow's operators, which are fast there."""

    def image(key, handle):
        draws = view_draws(order.seed, key)[:views]
        return source.load(handle), draws, *(tell(handle) for tell in told)

    batches = drawn.map(image, **PARALLEL).batch(order.share, drop_remainder=True)

    def made(images, draws, *rest):
        height, width = source.shape
        crops = []
        for v, min_area in enumerate(augmentation.min_areas(views)):
            window = crop.sample_window(draws[:, v], height, width, min_area)
            crops.append(crop.crop_and_resize(images, window, augmentation.size))
        if crops_only:
            return *(tf.cast(tf.round(x), tf.uint8) for x in crops), draws, *rest
        return *augment_crops(augmentation)(*crops, draws), draws, *rest

    return batches.map(made, **PARALLEL)


def most_resized(max_pixels):
    """Returns of how many pixels an image may be that TensorFlow's operators resize."""
    return max_pixels // LARGER


def _are_small(source, drawn):
    """Returns whether the first images drawn, as many as are held at a time, are small."""
    first = drawn.take(TOGETHER)
    sizes = first.map(lambda _, handle: tf.size(decode(source.load(handle)))).ignore_errors()
    return all(int(size) <= 3 * MOST_PIXELS for size in sizes)


def _views_of_files(source, drawn, augmentation, order, crops_only, views, told, ops, python):
    """Returns batches of (places, names of the bad, views…, draws, what `told` says of handles…) of
    encoded images; `python` as `decode` has it."""
    numba = ops == "numba" and not augmentation.channels
    small = numba and augmentation.size <= SMALL and _are_small(source, drawn)
    most = source.max_pixels if numba else most_resized(source.max_pixels)
    if views == 2 and source.groups:
        positives = TwoPictures(source, augmentation, order.seed, python, most)
    else:
        positives = OnePicture(source, augmentation, order.seed, views, python, most)

    def told_of(handle):
        return tuple(tell(positives.of_source(handle)) for tell in told)

    if small:
        views_of_images = small_view_maker(augmentation, crops_only, positives.views)

        def made(key, handle):
            decoded = positives.decoded(key, handle)
            packed = ((pack(image), tf.shape(image), *rest) for image, *rest in decoded)
            return *itertools.chain(*packed), *told_of(handle)

        def finish(*packed):
            decoded = [packed[4 * i : 4 * i + 4] for i in range(positives.pictures)]
            all_views = [view for one in decoded for view in views_of_images(*one)]
            return *all_views, _joined(decoded), *packed[4 * positives.pictures :]

    else:
        views_of_image = view_maker(augmentation, ops, crops_only, positives.views)
        finish = None

        def made(key, handle):
            decoded = positives.decoded(key, handle)
            all_views = [view for one in decoded for view in views_of_image(*one)]
            return *all_views, _joined(decoded), *told_of(handle)

    blank = tf.zeros([0, *augmentation.shape], tf.uint8 if crops_only else tf.float32)
    blanks = *([blank] * views), tf.zeros([0, views, DRAWS]), *([tf.zeros([0], tf.int64)] * len(told))
    drawn = positives.arranged(drawn)
    return batches_of_files(drawn, order.share, made, blanks, positives.describe, finish)


def _joined(decoded):
    """Returns the draws of several pictures, their last, as those of one, `[…, views, DRAWS]`."""
    draws = [one[-1] for one in decoded]
    return draws[0] if len(draws) == 1 else tf.concat(draws, axis=-2)


@tf.autograph.experimental.do_not_convert
def centre_views(source, examples, augmentation, bad_images, batch_size=256):
    """Returns the finite dataset of (image, label) that evaluation reads, without randomness.

    Short side to 256/224 of the view's, centre crop, normalise, as the papers' linear protocol; images
    that have the view's size already are used whole. Images that do not decode are reported and left
    out.

    Args:
        source: a `Source`.
        examples: dataset of its (handle, label), such as `source.evaluation("queries")`.
        augmentation: gives size, mean and std.
        bad_images: a `BadImages`.
        batch_size: images a batch; the last may be smaller.
    """

    def view(handle, label):
        image = decoded_image(source, handle, augmentation.channels)
        return prepare(image, augmentation), label

    return _evaluated(source, examples, view, augmentation, bad_images, batch_size)


@tf.autograph.experimental.do_not_convert
def random_copies(source, examples, augmentation, bad_images, batch_size=256):
    """Returns the finite dataset of (image, label) of one random view of each example, always the same.

    Draws are by the example's place: where an image comes twice, its views differ. Arguments as of
    `centre_views`.
    """
    make = view_maker(augmentation, "numba", views=1)

    def view(handle, place, label):
        image = decoded_image(source, handle, augmentation.channels)
        draws = view_draws(0, place)[:1]
        height, width = tf.shape(image)[0], tf.shape(image)[1]
        window = crop.sample_window(draws, height, width, augmentation.min_area)
        return make(image, tf.stack(window, axis=1), draws)[0], label

    placed = examples.enumerate().map(lambda place, example: (example[0], place, example[1]))
    return _evaluated(source, placed, view, augmentation, bad_images, batch_size)


def decoded_image(source, handle, channels=None):
    """Returns the uint8 image `[H, W, 3]` of a source's handle, or the float32 one of so many channels;
    fails in the graph where it does not decode."""
    image = source.load(handle)
    how = {"channels": channels, "max_pixels": source.max_pixels}
    return image if source.shape else decode_image(image, source.upright, **how)


def _evaluated(source, examples, view, augmentation, bad_images, batch_size):
    """Returns the batches of (image, label) that `view` makes of examples, without the bad ones."""
    if source.shape:
        return examples.map(view, **PARALLEL).batch(batch_size).prefetch(tf.data.AUTOTUNE)

    def made(rest, handle):
        return view(handle, *rest)

    blanks = tf.zeros([0, *augmentation.shape]), tf.zeros([0], tf.int64)
    examples = examples.map(lambda handle, *rest: (rest, handle))
    batches = batches_of_files(examples, batch_size, made, blanks, source.describe, overlap=False)
    views = batches.map(lambda _, bad, *views: reported(bad, views, bad_images))
    return views.rebatch(batch_size).prefetch(tf.data.AUTOTUNE)


def prepare(image, augmentation):
    """Returns the evaluation view of one image, of RGB uint8, float32 `[S, S, C]`, normalised."""
    return normalize(centre(image, augmentation.size) / augmentation.white, augmentation)


def centre(image, size):
    """Returns the part of one image `[h, w, C]` that evaluation looks at, float32 `[size, size, C]`."""
    height, width = tf.shape(image)[0], tf.shape(image)[1]
    channels = image.shape[2]
    fits = (height == size) & (width == size)
    image = tf.cond(fits, lambda: tf.cast(image, tf.float32), lambda: _resize_and_crop(image, size))
    return tf.ensure_shape(image, [size, size, channels])


def _resize_and_crop(image, size):
    # Of a strip a pixel high the resized image would be of gigabytes: only what is looked at is made.
    old = tf.shape(image)[:2]
    short = size * 256 // 224
    # torchvision truncates the long side,
    new = tf.where(old == tf.reduce_min(old), short, short * old // tf.reduce_min(old))
    # and rounds half the margin, halves to even.
    offset = tf.round(tf.cast(new - size, tf.float64) / 2)
    scale = tf.cast(new, tf.float64) / tf.cast(old, tf.float64)
    reach = tf.maximum(1 / scale, 1.0) + 1  # of the filter, pixels of the image
    begin = tf.maximum(tf.cast(tf.floor(offset / scale - reach), tf.int32), 0)
    end = tf.minimum(old, tf.cast(tf.math.ceil((offset + size) / scale + reach), tf.int32))
    # A part is a copy: where it is most of the image, the operator had better look at all of that.
    most = 4 * (end - begin) >= old
    begin, end = tf.where(most, 0, begin), tf.where(most, old, end)
    part = tf.cond(
        tf.reduce_all(most), lambda: image, lambda: image[begin[0] : end[0], begin[1] : end[1]]
    )
    return tf.raw_ops.ScaleAndTranslate(  # what tf.image.resize does, of a part
        images=part[None],
        size=[size, size],
        scale=tf.cast(scale, tf.float32),
        translation=tf.cast(tf.cast(begin, tf.float64) * scale - offset, tf.float32),
        kernel_type="triangle",
        antialias=True,
    )[0]
