"""Groups of images that show the same thing: frames of a video, seasons of a place, a patient."""

import hashlib
import os
import re

import numpy as np
import tensorflow as tf

from mocotf.data.places.listing import held
from mocotf.errors import UserError

FOLDER = "folder"
PARTNER = 1  # what a draw of a partner is told from the draws of views by, which have the same key


class Groups:
    """Which group each image is of, and which other of it is its partner in a positive pair.

    Held per image: 12 bytes, and 4 per group. A partner costs the same however many there are.

    Args:
        numbers: of each image's group, int32 `[n]`; within a group images are in their order.
        max_gap: a partner is so many places away at most; None: anywhere in the group.

    Attributes:
        count: of all groups.
        alone: images that have a group to themselves, whose partners they are.
        digest: a text that stands for the groups.

    Raises:
        UserError: no image has another in its group, or all are of one.
    """

    def __init__(self, numbers, max_gap=None):
        _, group, sizes = np.unique(numbers, return_inverse=True, return_counts=True)
        self.count, self.alone = len(sizes), int((sizes == 1).sum())
        if self.count in (1, len(group)):
            found = "one group holds" if self.count == 1 else "each is alone in its group:"
            raise UserError(
                f"--positives=group: {found} all {len(group):,} images; expected several groups, some "
                "of two images or more; try another --group_by"
            )
        images = np.argsort(group, kind="stable").astype(np.int32)
        place = np.empty_like(images)
        place[images] = np.arange(len(images), dtype=np.int32)
        self.digest = hashlib.sha256(group.astype(np.int32).tobytes()).hexdigest()[:16]
        self._max_gap = min(max_gap or len(images), len(images))
        self._group, self._place, self._images = held(group.astype(np.int32)), held(place), held(images)
        self._begins = held(np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32))

    def found(self):
        """Returns what there is, a line for people."""
        alone = "1 image alone in its" if self.alone == 1 else f"{self.alone:,} images alone in theirs"
        return f"{self.count:,} groups" + f", {alone}" * bool(self.alone)

    def partner(self, seed, key, image):
        """Returns the partner of an image: any other of its group within `max_gap`, equally likely.

        Args:
            seed: of the run.
            key: of the image in its epoch, as `Source.draw` gives it: all that the draw depends on.
            image: its number, an integer scalar, as which the partner is returned.
        """
        place, group = tf.gather(self._place, image), tf.gather(self._group, image)
        first = tf.maximum(tf.gather(self._begins, group), place - self._max_gap)
        end = tf.minimum(tf.gather(self._begins, group + 1) - 1, place + self._max_gap) + 1
        own = tf.stack([tf.cast(seed, tf.int64), tf.cast(key, tf.int64)])
        own = tf.random.experimental.stateless_fold_in(own, tf.constant(PARTNER, tf.int64))
        others = tf.maximum(end - first - 1, 1)
        steps = 1 + tf.random.stateless_uniform([], own, maxval=others, dtype=tf.int32)
        # Forwards from its own place, and on from the first: never itself, unless it is alone.
        chosen = first + (place - first + steps) % (end - first)
        return tf.cast(tf.gather(self._images, chosen), image.dtype)


def group_namer(by):
    """Returns the function from a path, bytes, to the name of its group, empty where it has none.

    Args:
        by: FOLDER, or a regular expression, whose first group in brackets, or else all that it matches,
            is the name.

    Raises:
        UserError: it is no regular expression.
    """
    if by == FOLDER:
        return lambda path: os.path.dirname(path) or b"."
    try:
        pattern = re.compile(by)
    except re.error as error:
        raise UserError(
            f"--group_by={by}: {error}; expected {FOLDER}, or a regular expression, such as "
            r"'(.*)_\d+\.jpg'"
        ) from error

    def named(path):
        match = pattern.search(os.fsdecode(path))
        return os.fsencode(match[min(1, pattern.groups)] or "") if match else b""

    return named
