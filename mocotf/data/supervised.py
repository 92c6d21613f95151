"""Labelled images for supervised training: which, and in what order."""

import numpy as np
import tensorflow as tf

from mocotf import terminal
from mocotf.data.sources.records import SHUFFLE_BUFFER
from mocotf.data.sources.records import shuffle
from mocotf.errors import UserError
from mocotf.tables import counted

LABELS = ("given", "shuffled", "constant")
EXPECTED = {
    "folder": "sub-folders that are classes, two or more, and in train/ and val/ where both are there",
    "hf": "a column of labels, two or more, the same in what is held out",
    "tfrecord": "image/class/label in the train-* and in the validation-* shards",
}


class Labelled:
    """The labelled training images of a source, or a part of them that has all classes in equal number.

    Reads all labels once. An epoch goes through the source in its fixed order and mixes what it finds:
    all of it where images are found by number, SHUFFLE_BUFFER records at a time otherwise. To
    `random_views` it is a `Source` whose handles are the source's with their labels.

    Args:
        source: a `Source`.
        fraction: in (0, 1]; below 1 each class gets the same number of images, or all it has.
        labels: "given"; "shuffled" or "constant", with which nothing can be learned: to look for leaks.
        seed: of the part that is chosen, and of shuffled labels.

    Attributes:
        source, shape, upright, max_pixels: the source, and what it says.
        labels: int64 `[size]`, in the source's order.
        size: how many images.
        classes: how many classes; those of the queries count, too.

    Raises:
        UserError: there are no labels, or queries of a class that no training image has.
    """

    def __init__(self, source, fraction=1.0, labels="given", seed=0):
        check_labelled(source)
        self.source, self.shape = source, source.shape
        self.upright, self.max_pixels = source.upright, source.max_pixels
        found = labels_of(source, "bank")
        check_classes(found, labels_of(source, "queries"), source)
        self.classes = int(found.max()) + 1
        rng = np.random.default_rng(seed)
        self._chosen = _balanced(found, fraction, rng)
        if labels == "shuffled":
            found = rng.permutation(found)
        elif labels == "constant":
            found = np.zeros_like(found)
        self._labels = found
        self.labels = found[self._chosen]
        self.size = len(self._chosen)

    def examples(self):
        """Returns the finite dataset of (handle, label int64), in the source's order."""
        return self._numbered().map(lambda _, handle, label: (handle, label))

    def draw(self, order, first_step=0):
        """Returns the endless dataset of (key int64, (handle, label)), as `Source.draw` has keys.

        Args:
            order: an `Order` of one worker.
            first_step: of the run, whose images come first.
        """
        per_epoch = order.steps_per_epoch * order.batch_size
        first_epoch, steps = divmod(first_step, order.steps_per_epoch)
        done = tf.constant(steps * order.batch_size, tf.int64)
        total = len(self._labels)
        specs = tf.nest.flatten(self.source.evaluation("bank").element_spec)
        found_by_number = all(spec.dtype != tf.string for spec in specs)
        buffer = self.size if found_by_number else min(self.size, SHUFFLE_BUFFER)

        def epoch(number):
            seed = tf.stack([tf.constant(order.seed, tf.int64), number])
            images = self._numbered().map(
                lambda i, handle, label: (number * total + i, (handle, label))
            )
            mixed = shuffle(images, buffer, seed).take(per_epoch)
            return mixed.skip(tf.where(number == first_epoch, done, 0))

        epochs = tf.data.Dataset.range(tf.constant(first_epoch, tf.int64), tf.int64.max)
        return epochs.flat_map(epoch)

    def load(self, example):
        """Returns the image of (handle, label); see `Source.load`."""
        return self.source.load(example[0])

    def label(self, example):
        """Returns the label of (handle, label)."""
        return example[1]

    def describe(self, example):
        """Returns what a message calls (handle, label)."""
        return self.source.describe(example[0])

    def _numbered(self):
        """Returns the finite dataset of (number in the source, handle, label)."""
        chosen = np.zeros(len(self._labels), bool)
        chosen[self._chosen] = True
        chosen, labels = tf.constant(chosen), tf.constant(self._labels)
        numbered = self.source.evaluation("bank").enumerate()
        if self.size < len(self._labels):
            numbered = numbered.filter(lambda i, _: chosen[i])
        return numbered.map(lambda i, example: (i, example[0], labels[i]))


def check_labelled(source):
    """Checks a `Source` against what evaluation needs.

    Raises:
        UserError: it has no labels, or one of its two splits is empty.
    """
    bank, queries = source.evaluation_sizes
    if not bank or not queries:
        expected = EXPECTED.get(source.name, "a label and a validation or test split")
        raise UserError(
            f"--dataset={source.name}: {bank} labelled images to learn from, {queries} to ask about; "
            f"expected some of both: {expected}"
        )


def labels_of(source, split):
    """Returns the labels of "bank" or "queries", int64 `[size]`; reads them all."""
    batches = source.evaluation(split).map(lambda _, label: label).batch(8192)
    with terminal.phase("reading labels"):
        return np.concatenate([np.zeros([0], np.int64), *batches.as_numpy_iterator()])


def check_classes(bank, queries, source):
    """Checks the classes of training images and queries against each other.

    Args:
        bank, queries: their labels.
        source: a `Source`, which names them.

    Raises:
        UserError: there are queries of a class that no training image has.
    """
    unknown = sorted(set(np.unique(queries)) - set(np.unique(bank)))
    if unknown:
        names = ", ".join(source.class_name(int(c)) for c in unknown[:5])
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        raise UserError(
            f"{source.name}: {counted(len(unknown), 'class')} of the images to ask about with no "
            f"training image ({names}{more}); expected the same classes in both; compare the names of "
            "their folders"
        )


def _balanced(labels, fraction, rng):
    """Returns the numbers of the chosen images, ascending."""
    if fraction == 1:
        return np.arange(len(labels))
    classes, counts = np.unique(labels, return_counts=True)
    each = max(1, round(fraction * len(labels) / len(classes)))
    chosen = [
        rng.choice(np.flatnonzero(labels == c), min(each, count), replace=False)
        for c, count in zip(classes, counts, strict=True)
    ]
    return np.sort(np.concatenate(chosen))
