"""What data sets of boxes and of masks have in common: two splits, and how they are read."""

import abc

import numpy as np
import tensorflow as tf

from mocotf.data.places.survey import USE
from mocotf.data.places.survey import survey
from mocotf.data.sources.base import draw_by_index
from mocotf.data.views.formats import MAX_PIXELS
from mocotf.errors import UserError
from mocotf.tables import counted

CHOICE = 0  # seed of which images are chosen where not all are


class TransferDataset(abc.ABC):
    """A named set of labelled images, in a training and a test split.

    Attributes:
        name: for messages.
        size, test_size: number of images in each split.
        class_names: of the labels, in order.
        paths: of the images' files, the training images first, a string tensor; None where they are not
            in files of their own.
        max_pixels: of an encoded image, as `DataSettings` has it.
        left_out: which images were, and why, a text.
        rotated: what is done with those that EXIF says are rotated, a text.
    """

    name: str
    size: int
    test_size: int
    class_names: tuple[str, ...]
    paths: tf.Tensor | None = None
    max_pixels: int = MAX_PIXELS
    left_out: str = ""
    rotated: str = USE[False]

    def found(self):
        """Returns what there is, a line for people; it looks into some files."""
        images = f"{self.size:,} training images, {self.test_size:,} test images"
        classes, turned = counted(len(self.class_names), "class"), ""
        if self.paths is not None:
            seen = survey(lambda number: self.paths[number].numpy(), len(self.paths))
            images, turned = f"{images} ({seen.kinds})", seen.rotation(self.rotated)
        left_out = f"left out: {self.left_out}" if self.left_out else ""
        return "; ".join(filter(None, [f"{images}, {classes}", left_out, turned]))

    @abc.abstractmethod
    def draw(self, order, first_step=0):
        """Returns the endless dataset of (key, handle), as `Source.draw` has it."""

    @abc.abstractmethod
    def tests(self):
        """Returns the finite dataset of the handles of the test images, in fixed order."""

    @abc.abstractmethod
    def describe(self, handle):
        """Returns what a message calls the image, a string tensor."""


class IndexedDataset(TransferDataset):
    """Images that are found by number, the training images first."""

    def draw(self, order, first_step=0):
        return draw_by_index(order, first_step, self.size)

    def tests(self):
        return tf.data.Dataset.range(self.size, self.size + self.test_size)


class RecordDataset(TransferDataset):
    """Images in record files, `_records`, a `RecordFiles` whose queries are the test images."""

    def draw(self, order, first_step=0):
        return self._records.draw(order, first_step)

    def tests(self):
        return self._records.in_order("queries")

    def describe(self, handle):
        return self._records.describe(handle)


def chosen(items, most):
    """Returns `most` items of a list, in order, always the same ones; all if there are no more."""
    if not most or most >= len(items):
        return items
    picked = np.random.default_rng(CHOICE).choice(len(items), most, replace=False)
    return [items[i] for i in sorted(picked)]


def check_tfrecord(name, builder):
    """Checks a data set of TensorFlow Datasets against what can be read here.

    Raises:
        UserError: it is kept in another format than tfrecord.
    """
    if builder.info.file_format.value != "tfrecord":
        raise UserError(
            f"--dataset={name}: is kept as {builder.info.file_format.value} in {builder.data_dir}; "
            "expected tfrecord; try another --data_dir, in which it is prepared anew"
        )
