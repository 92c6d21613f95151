"""Segmentation as a job: what it trains on, what it trains, how it is measured."""

import keras
import numpy as np
import tensorflow as tf

from mocotf import terminal
from mocotf.errors import UserError
from mocotf.transfer.job import Job
from mocotf.transfer.mask_picture import mask_picture
from mocotf.transfer.mask_views import measured_views
from mocotf.transfer.mask_views import training_batches
from mocotf.transfer.segmenter import IGNORED
from mocotf.transfer.segmenter import Segmenter

SHOWN = 12  # test images in a picture
BATCH = 16  # test images at a time, where they are of one size
MOST_PIXELS = 2**22  # of them together; a larger image is alone


class Segmentation(Job):
    """Classes of pixels are learned from a `Masked`, and measured by mean intersection over union.

    Args:
        masked: a `Masked`.
        crop: a `Crop`.
        options: of a `Job`; `network` is that of `Segmenter`.
    """

    name = "segment"
    accuracies = {"miou": "mIoU", "pixel_accuracy": "pixels"}  # noqa: RUF012  (nobody changes it)

    def __init__(self, masked, crop, **options):
        super().__init__(masked, **options)
        self.crop = crop

    def build(self, start, seed):
        backbone = start.pyramid(seed=seed, dilated=True, precision=self.precision)
        # A pre-trained start has drawn nothing, a random one has: new layers are to be alike.
        keras.utils.set_random_seed(seed)
        return Segmenter(backbone, len(self.images.class_names), **self.network)

    def batches(self, view, order, first_step):
        return training_batches(
            self.images, self.crop, view, order, bad_images=self.bad_images, first_step=first_step
        )

    def measure(self, model, view):
        scores = Scores(len(self.images.class_names))
        for _, masks, found in self._answers(model, view):
            scores.add(masks, found)
        if not scores.pixels:
            raise UserError(
                f"{self.images.name}: none of the test images can be measured on; expected images "
                "that decode, with masks of their size"
            )
        return {"miou": scores.miou, "pixel_accuracy": scores.pixel_accuracy}

    def picture(self, model, view):
        shown = []
        for images, masks, found in self._answers(model, view, SHOWN):
            levels = np.clip(255 * (images * np.array(view.std) + np.array(view.mean)), 0, 255)
            shown.extend(zip(np.rint(levels).astype(np.uint8), masks, found, strict=True))
        if not shown:
            return None
        return mask_picture(shown, len(self.images.class_names))

    def _answers(self, model, view, most=None):
        """Yields batches of test images of one size: images as the model sees them, masks, and the
        classes that it finds, NumPy arrays."""
        classify = model_function(model)
        views = measured_views(self.images, view, self.bad_images, most)
        for images, masks in batched(views, BATCH):
            yield images, masks, classify(tf.constant(images)).numpy()
            terminal.advance(len(images))


class Scores:
    """How right classes of pixels are, over any number of images.

    Args:
        classes: how many.
    """

    def __init__(self, classes):
        self._metric = keras.metrics.MeanIoU(classes, ignore_class=IGNORED, dtype="int64")

    def add(self, masks, found):
        """Takes note of masks and of the classes that were found instead, arrays of one shape."""
        self._metric.update_state(masks.astype(np.int64), found.astype(np.int64))

    @property
    def confusion(self):
        """Number of pixels of a class (row) that were taken for one (column), `[classes, classes]`."""
        return self._metric.total_cm.numpy()

    @property
    def pixels(self):
        """How many pixels were measured on."""
        return int(self.confusion.sum())

    @property
    def miou(self):
        """Intersection over union, the mean over classes that there are or were found, percent."""
        return 100.0 * float(self._metric.result())

    @property
    def pixel_accuracy(self):
        """Share of pixels whose class is right, percent."""
        return 100.0 * float(np.trace(self.confusion) / self.pixels)


def model_function(model):
    """Returns a `Segmenter`'s `classify`, compiled once; the same function each time."""
    if not hasattr(model, "_classify_function"):
        pixels = tf.TensorSpec([None, None, None, 3], tf.float32)
        model._classify_function = tf.function(
            model.classify, input_signature=[pixels], autograph=False
        )
    return model._classify_function


def batched(views, n):
    """Yields stacks of up to n of each component of a dataset's elements, images first, as far as
    neighbours are of one shape and have no more than MOST_PIXELS together."""
    rows = []
    for row in views.as_numpy_iterator():
        height, width = row[0].shape[:2]
        full = len(rows) == min(n, max(1, MOST_PIXELS // (height * width)))
        if rows and (full or row[0].shape != rows[0][0].shape):
            yield [np.stack(column) for column in zip(*rows, strict=True)]
            rows = []
        rows.append(row)
    if rows:
        yield [np.stack(column) for column in zip(*rows, strict=True)]
