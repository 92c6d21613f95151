"""What every source of images offers, and the order in which images are drawn."""

import abc

import tensorflow as tf


class Source(abc.ABC):
    """A named set of images, with labels where it has them (used for evaluation only).

    Attributes:
        name: for messages.
        size: number of training images.
        shape: (H, W) where all images are arrays of one size, None where they are encoded files.
        evaluation_sizes: (bank, queries) for kNN, (0, 0) where there are no labels.
    """

    name: str
    size: int
    shape: tuple[int, int] | None = None
    evaluation_sizes: tuple[int, int] = (0, 0)

    @abc.abstractmethod
    def draw(self, seed, first, per_epoch):
        """Returns an endless dataset of training images in random order.

        Element i of the whole run belongs to epoch i // per_epoch; within an epoch no image comes
        twice. Order is a pure function of (seed, epoch, position).

        Args:
            seed: of the run.
            first: number of the first element, so that a run is resumed without replay.
            per_epoch: images an epoch uses, at most `size`.

        Returns:
            Dataset of (number int64, handle); `load` makes an image of a handle.
        """

    @abc.abstractmethod
    def load(self, handle):
        """Returns the image: encoded bytes, or uint8 `[H, W, 3]` if `shape`. May fail in the graph."""

    @abc.abstractmethod
    def describe(self, handle):
        """Returns what a message calls the image, a string tensor."""

    def evaluation(self, part):
        """Returns a finite dataset of (handle, label int64), in fixed order.

        Args:
            part: "bank" or "queries".
        """
        raise NotImplementedError(f"{self.name} has no labels")


class RandomAccessSource(Source):
    """A source whose images are found by index, their handle, so that any position costs the same."""

    def draw(self, seed, first, per_epoch):
        def locate(number):
            epoch, position = number // per_epoch, number % per_epoch
            return number, shuffled(seed, epoch, position, self.size)

        numbers = tf.data.Dataset.counter(tf.constant(first, tf.int64))
        return numbers.map(locate)


def shuffled(seed, epoch, position, size):
    """Returns the image index at `position` of the random order of `epoch`; a bijection."""
    key = tf.stack([tf.cast(seed, tf.int64), tf.cast(epoch, tf.int64)])
    # Of its key, index_shuffle reads the lowest byte for small sets: epochs 0 and 256 would agree.
    key = tf.random.stateless_uniform([2], key, minval=None, maxval=None, dtype=tf.int64)
    return tf.random.experimental.index_shuffle(position, key, tf.cast(size - 1, tf.int64))


def epochs_of(make_epoch, first, per_epoch):
    """Returns the endless dataset (number, handle) made of `make_epoch(epoch)` datasets.

    For sources that can only be read in sequence: `first` is reached by skipping raw records.
    """

    def numbered(epoch, skip):
        handles = make_epoch(epoch).take(per_epoch).skip(skip)
        numbers = tf.data.Dataset.counter(epoch * per_epoch + skip)
        return tf.data.Dataset.zip(numbers, handles)

    epoch, skip = divmod(first, per_epoch)
    epoch = tf.constant(epoch, tf.int64)
    later = tf.data.Dataset.counter(epoch + 1).flat_map(lambda e: numbered(e, tf.zeros([], tf.int64)))
    return numbered(epoch, tf.constant(skip, tf.int64)).concatenate(later)
