"""What an image costs to decode, by its header, before anything is decoded.

The cost is the bytes that are made beside the file's own: pixels, and what a decoder keeps meanwhile.
An image may cost `budget(max_pixels)`; one that costs more than a third of that waits until no other
such is being decoded.
"""

import tensorflow as tf

from mocotf.data.views.formats import CHEAPEST
from mocotf.data.views.formats import SHARE
from mocotf.data.views.formats import budget

JPEG_SEARCHED = 1 << 22  # bytes in which the first scan is looked for
SEQUENTIAL = (0xC0, 0xC1)  # JPEG's frames whose rows come one after the other
NO_FRAME = (0xC4, 0xC8, 0xCC)  # of JPEG's markers from C0 to CF, all others begin one
RESTARTS, SCAN, SEGMENTS = 0xD0, 0xDA, (0xC0, 0xFE)
STEPS = 16  # blocks of a GIF that are skipped in one turn of a loop
FRAME, EXTENSION = 0x2C, 0x21  # a GIF's blocks


def admitted(encoded, pixels, each, max_pixels):
    """Returns (the file's bytes, or none, which no decoder takes, if it costs too much; what is to be
    `held` until it is decoded).

    Args:
        encoded: the file's bytes, a string scalar.
        pixels: their number by its header, an int64 scalar.
        each: bytes that one costs, a number or an int64 scalar.
        max_pixels: as `DataSettings` has it.
    """
    cost, most = pixels * each, budget(max_pixels)
    return tf.cond(
        cost <= most // SHARE,
        lambda: (encoded, tf.raw_ops.OptionalNone()),
        lambda: _alone(encoded, cost, tf.cast(most, tf.int64)),
    )


def admitted_jpeg(encoded, shape, max_pixels):
    """Returns `admitted` of a JPEG of a shape, int32 `[3]`; all its coefficients are held at once where
    the file does not have whole rows one after the other, as progressive ones."""
    height, width, channels = tf.unstack(tf.cast(shape, tf.int64))
    pixels, most = height * width, budget(max_pixels)
    return tf.cond(
        pixels * (3 + 2 * channels) <= most // SHARE,
        lambda: (encoded, tf.raw_ops.OptionalNone()),
        lambda: _large_jpeg(encoded, pixels, channels, tf.cast(most, tf.int64)),
    )


def held(lock, image):
    """Returns an image, made while what `admitted` returned was held."""
    # What only passes it on is optimised away, as IdentityN whose second output nobody takes.
    both = tf.raw_ops.OptionalFromValue(components=[image, lock])
    kinds = {"output_types": [image.dtype, tf.variant], "output_shapes": [image.shape, []]}
    return tf.raw_ops.OptionalGetValue(optional=both, **kinds)[0]


# Functions apart: inlined, their operations would cost time where images are small, too.
@tf.function(experimental_attributes={"_noinline": True}, autograph=False)
def _alone(encoded, cost, most):
    """Returns the bytes of a file, and the only lock on large images, as soon as that is free."""

    def locked():
        # By its name it is the same wherever this graph runs; it is free again once the last operation
        # that takes it is over, also where one fails.
        mutex = tf.raw_ops.MutexV2(shared_name="large_image")
        return tf.raw_ops.MutexLock(mutex=mutex)

    free = (cost <= most // SHARE) | (cost > most)
    lock = tf.cond(free, lambda: tf.raw_ops.OptionalNone(), locked)
    with tf.control_dependencies([lock]):
        return tf.where(cost <= most, encoded, b""), lock


@tf.function(experimental_attributes={"_noinline": True}, autograph=False)
def _large_jpeg(encoded, pixels, channels, most):
    each = tf.where(_has_whole_rows(encoded), tf.constant(CHEAPEST, tf.int64), 3 + 2 * channels)
    return _alone(encoded, pixels * each, most)


def _has_whole_rows(encoded):
    """Returns whether a JPEG is surely sequential, with all components in its first scan."""
    data = tf.cast(tf.io.decode_raw(tf.strings.substr(encoded, 0, JPEG_SEARCHED), tf.uint8), tf.int32)
    data = tf.pad(data, [[0, 10]])
    end = tf.size(data) - 10

    def is_segment(at):
        kind = data[at + 1]
        has_length = (kind < RESTARTS) | (kind >= SCAN)
        return (data[at] == 0xFF) & (kind >= SEGMENTS[0]) & (kind <= SEGMENTS[1]) & has_length

    def goes_on(at, frame):
        del frame
        return is_segment(at) & (data[at + 1] != SCAN)

    def skip(at, frame):
        kind = data[at + 1]
        begins = (kind <= 0xCF) & tf.reduce_all(kind != NO_FRAME)
        following = at + 2 + data[at + 2] * 256 + data[at + 3]
        return tf.minimum(following, end), tf.where(begins, at, frame)

    # Of the frame its place; before there was one, that of the zeros behind the file.
    scan, frame = tf.while_loop(goes_on, skip, (tf.constant(2), end), parallel_iterations=1)
    is_sequential = tf.reduce_any(data[frame + 1] == SEQUENTIAL)
    return is_segment(scan) & is_sequential & (data[scan + 4] == data[frame + 9])


def first_frame(encoded):
    """Returns (height, width, the bytes up to there) of a GIF's first frame: a decoder would read all.

    Sides are int64 scalars; 0 where there is no frame.
    """
    raw = tf.strings.join([encoded, bytes(16)])
    end = tf.strings.length(encoded)
    data = tf.io.decode_raw(raw, tf.uint8)

    def byte(at):
        return tf.cast(data[at], tf.int32)

    def past_blocks(at):
        """Returns where the blocks of data that begin at a place end."""

        def skip(at, _):
            for _ in range(STEPS):
                length = byte(at)
                at = tf.where(length > 0, tf.minimum(at + 1 + length, end), at)
            return at, byte(at) > 0

        begun = at, byte(at) > 0
        return tf.while_loop(lambda _, more: more, skip, begun, parallel_iterations=1)[0] + 1

    def colours(flags):
        return tf.where(flags >= 128, 3 * 2 ** (flags % 8 + 1), 0)

    def is_extension(at):
        return byte(at) == EXTENSION

    at = tf.minimum(13 + colours(byte(10)), end)
    (at,) = tf.while_loop(
        is_extension, lambda at: (past_blocks(tf.minimum(at + 2, end)),), (at,), parallel_iterations=1
    )
    at = tf.minimum(at, end)
    is_frame = byte(at) == FRAME
    sides = tf.where(is_frame, tf.cast(data[at + 5 : at + 9], tf.int32), 0)
    width, height = (tf.cast(sides[i] + 256 * sides[i + 1], tf.int64) for i in (0, 2))
    last = past_blocks(tf.minimum(at + 11 + colours(byte(at + 9)), end))
    return height, width, tf.strings.join([tf.strings.substr(encoded, 0, tf.minimum(last, end)), b";"])
