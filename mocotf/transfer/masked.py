"""Images with a class for every pixel, as segmenters learn from and are measured on."""

import abc

import numpy as np
import tensorflow as tf

from mocotf.data.views.decode import decode
from mocotf.transfer.cutouts import CLASSES
from mocotf.transfer.cutouts import cutouts
from mocotf.transfer.datasets import IndexedDataset
from mocotf.transfer.datasets import TransferDataset

BACKGROUND = "background"
LARGER = 16  # times a decoded image is what is made of it, where it is resized by two


class Masked(TransferDataset):
    """Images with masks, whose values are places in `class_names`; 0 is often the background."""

    @abc.abstractmethod
    def load(self, handle):
        """Returns an image, uint8 `[h, w, 3]`, and its mask, uint8 `[h, w]`: the class of each pixel,
        or IGNORED. May fail in the graph."""

    def pixels_of(self, encoded):
        """Returns the image of a file's bytes; it may have fewer pixels than elsewhere, for all of them
        are made larger."""
        return decode(encoded, max_pixels=self.max_pixels // LARGER)


class IndexedMasked(IndexedDataset, Masked):
    """Images with masks that are found by number, the training images first.

    Args:
        name: for messages.
        class_names: of the values in masks.
        size, test_size: number of images in each split.
    """

    def __init__(self, name, class_names, size, test_size):
        self.name = name
        self.class_names = tuple(class_names)
        self.size, self.test_size = size, test_size


class MaskedCutouts(IndexedMasked):
    """The embedded images of `mocotf.transfer.cutouts`.

    Args:
        size, test_size: how many to compose.
    """

    def __init__(self, size, test_size):
        super().__init__("cutouts", (BACKGROUND, *CLASSES), size, test_size)
        parts = cutouts("train", size), cutouts("test", test_size)
        self._images = tf.constant(np.concatenate([part.images for part in parts]))
        self._masks = tf.constant(np.concatenate([part.masks for part in parts]))

    def load(self, handle):
        return self._images[handle], self._masks[handle]

    def describe(self, handle):
        return tf.strings.format("image {}", handle)
