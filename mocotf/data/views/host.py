"""The views of one encoded image, on the host."""

import tensorflow as tf

from mocotf.data.views import crop
from mocotf.data.views.decode import jpeg_window
from mocotf.data.views.decode import open_jpeg
from mocotf.data.views.formats import MAX_PIXELS
from mocotf.data.views.limits import held
from mocotf.data.views.orientation import decode_image
from mocotf.data.views.orientation import most_turned
from mocotf.data.views.orientation import orientation
from mocotf.data.views.orientation import stored_window
from mocotf.data.views.orientation import turned
from mocotf.data.views.orientation import turned_sides
from mocotf.data.views.tensorflow_ops import augment

OPS = ("numba", "tensorflow")
SMALL = 64  # side of views; to call Python for one so small takes longer than to make it


def decode_windows(
    encoded, draws, min_area, upright=False, python=True, channels=None, max_pixels=MAX_PIXELS
):
    """Decodes what all crops of an image need, once.

    Args:
        encoded: the image file's bytes, a string scalar.
        draws: uniforms `[views, DRAWS]`.
        min_area: see `Augmentation`; a number, or one for each view, float32 `[views, 1]`.
        upright: crop the image turned as its EXIF says, a bool; else as it is stored.
        python: as `decode` has it.
        channels: of images that are not RGB, see `Augmentation`.
        max_pixels: as `decode_image` has it.

    Returns:
        (image, windows): uint8 `[h, w, 3]`, or float32 `[h, w, channels]`, and the crops' top, left,
        height, width in it, int32 `[views, 4]`.
    """

    def sampled(height, width):
        return tf.stack(crop.sample_window(draws, height, width, min_area), axis=1)

    def jpeg():
        number = orientation(encoded, python=False) if upright else None  # a JPEG's
        most = most_turned(max_pixels, number) if upright else max_pixels
        checked, sides, lock = open_jpeg(encoded, most)
        if upright:
            sides = turned_sides(sides[:2], number)
        windows = sampled(sides[0], sides[1])
        begin = tf.reduce_min(windows[:, :2], axis=0)
        end = tf.reduce_max(windows[:, :2] + windows[:, 2:], axis=0)
        needed = tf.concat([begin, end - begin], axis=0)
        if upright:
            part = turned(jpeg_window(checked, stored_window(needed, sides, number)), number)
        else:
            part = jpeg_window(checked, needed)
        return held(lock, part), windows - tf.concat([begin, [0, 0]], axis=0)

    def other():
        image = decode_image(encoded, upright, python, channels, max_pixels)
        return image, sampled(tf.shape(image)[0], tf.shape(image)[1])

    if channels:
        return other()
    return tf.cond(tf.io.is_jpeg(encoded), jpeg, other)


def view_maker(augmentation, ops, crops_only=False, views=2):
    """Returns the function (image, windows, draws) → its views, such as (x_q, x_k).

    Args:
        augmentation: an `Augmentation`.
        ops: "numba", the faster, or "tensorflow", which other machines can run from its graph alone. Of
            other channels than RGB it is TensorFlow always.
        crops_only: return crops, uint8 `[S, S, 3]`, for `augment` to go on with, and not views,
            float32.
        views: how many; windows `[views, 4]` and draws `[views, DRAWS]` are of so many.
    """
    size = augmentation.size
    if ops == "numba" and not augmentation.channels:
        from mocotf.data.views.numba_ops import ViewMaker  # Numba takes a second to import

        make, dtype = ViewMaker(augmentation, crops_only), tf.uint8 if crops_only else tf.float32

        def all_views(image, windows, draws):
            made = tf.numpy_function(make, [image, windows, draws], [dtype] * views)
            return tuple(tf.ensure_shape(x, [size, size, 3]) for x in made)

        return all_views

    @tf.function(jit_compile=True, autograph=False)
    def finish(blocks, draws):
        x = crop.join_blocks(blocks, size)
        if crops_only:
            return tf.cast(tf.round(x), tf.uint8)
        return augment(x[None], draws[None], augmentation)[0]

    def view(image, window, draws):
        top, left, height, width = tf.unstack(window)
        part = image[top : top + height, left : left + width]
        return finish(crop.resize_to_blocks(part, size), draws)

    return lambda image, windows, draws: tuple(view(image, windows[v], draws[v]) for v in range(views))


def pack(image):
    """Returns an image as a string that ends with its pixels: images of any shapes make a batch."""
    return tf.io.serialize_tensor(image)


def small_view_maker(augmentation, crops_only=False, views=2):
    """Returns the function (packed images, shapes, windows, draws) → their views, `[n, S, S, 3]` each.

    As `view_maker` by Numba, of `[n, …]` of what it takes; shapes are int32 `[n, 3]`.
    """
    from mocotf.data.views.numba_ops import ViewMaker

    size, dtype = augmentation.size, tf.uint8 if crops_only else tf.float32
    maker = ViewMaker(augmentation, crops_only)

    def all_views(*images):
        made = tf.numpy_function(maker.of_packed, images, [dtype] * views)
        return tuple(tf.ensure_shape(x, [None, size, size, 3]) for x in made)

    return all_views
