"""Detection as a job: what it trains on, what it trains, how it is measured."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from mocotf import terminal
from mocotf.errors import UserError
from mocotf.transfer.box_picture import box_picture
from mocotf.transfer.coco_scores import MOST_DETECTIONS
from mocotf.transfer.coco_scores import coco_scores
from mocotf.transfer.detection_views import measured_views
from mocotf.transfer.detection_views import training_batches
from mocotf.transfer.detector import Detector
from mocotf.transfer.job import Job
from mocotf.transfer.saved_detector import save

SHOWN = 12  # test images in a picture
BATCH = 8  # test images at a time


class Detection(Job):
    """Boxes are learned from a `Scenes`, and measured as COCO does.

    Args:
        scenes: a `Scenes`.
        canvas: a `Canvas`.
        saved_model: folder to write the trained detector to; None for none.
        options: of a `Job`; `network` is that of `Detector`.
    """

    name = "detect"
    accuracies = {"ap": "AP", "ap50": "AP50", "ap75": "AP75"}  # noqa: RUF012  (nobody changes it)

    def __init__(self, scenes, canvas, *, saved_model=None, **options):
        super().__init__(scenes, **options)
        self.canvas = canvas
        self._saved_model = saved_model

    def build(self, start, seed):
        backbone = start.pyramid(seed=seed, precision=self.precision)
        # A pre-trained start has drawn nothing, a random one has: new layers are to be alike.
        keras.utils.set_random_seed(seed)
        classes = len(self.images.class_names)
        return Detector(backbone, classes, canvas=self.canvas.size, **self.network)

    def batches(self, view, order, first_step):
        return training_batches(
            self.images, self.canvas, view, order, bad_images=self.bad_images, first_step=first_step
        )

    def measure(self, model, view):
        answers = list(self._answers(model, view))
        if not answers:
            raise UserError(
                f"{self.images.name}: none of the test images decodes; expected whole image files "
                "in --data_dir"
            )
        truths = [truth for _, truth, _ in answers]
        detections = [found for *_, found in answers]
        scores = coco_scores(
            truths, detections, len(self.images.class_names), crowds=self.images.hard_are_crowds
        )
        return {"ap": scores.ap, "ap50": scores.ap50, "ap75": scores.ap75}

    def picture(self, model, view):
        scenes = []
        for canvas, (boxes, labels, hard), found in self._answers(model, view, SHOWN):
            scenes.append((canvas, (boxes[~hard], labels[~hard]), found))
        if not scenes:
            return None
        return box_picture(scenes, self.images.class_names)

    def finish(self, model, start):
        if not self._saved_model:
            return {}
        with terminal.phase("writing the SavedModel"):
            # On one device, whatever the model is on; the start's weights may be gone by now.
            copy = self.build(dataclasses.replace(start, trained=False), 0)
            for variable, trained in zip(copy.retina.variables, model.retina.variables, strict=True):
                variable.assign(trained.numpy())
            save(copy, self.canvas, start.view, self.images.class_names, self._saved_model)
        return {"saved_model": self._saved_model}

    def _answers(self, model, view, most=None):
        """Yields of test images (image uint8, truth, detections), boxes in pixels of the image.

        The image is as the detector saw it, and then stretched back to its size, if `most` are asked
        for; else None.
        """
        detect = model_function(model)
        views = measured_views(self.images, self.canvas, view, self.bad_images, most)
        for batch in batched(views, BATCH):
            canvases, scales, sizes, *truth = batch
            found, scores, labels, counts = (x.numpy() for x in detect(filled(canvases, BATCH)))
            for i, (scale, (height, width)) in enumerate(zip(scales, sizes, strict=True)):
                n = counts[i]
                boxes = np.clip(found[i, :n] / scale, 0, [height, width, height, width])
                image = None
                if most:
                    image = pixels(canvases[i], view, scale, height, width)
                yield image, tuple(part[i] for part in truth), (boxes, scores[i, :n], labels[i, :n])
                terminal.advance()


def model_function(model):
    """Returns a `Detector`'s `detect`, compiled once; the same function each time."""
    if not hasattr(model, "_detect_function"):
        model._detect_function = tf.function(
            lambda images: model.detect(images, MOST_DETECTIONS), autograph=False
        )
    return model._detect_function


def batched(views, n):
    """Yields lists of up to n of each component of a dataset's elements, NumPy arrays."""
    rows = []
    for row in views.as_numpy_iterator():
        rows.append(row)
        if len(rows) == n:
            yield [list(column) for column in zip(*rows, strict=True)]
            rows = []
    if rows:
        yield [list(column) for column in zip(*rows, strict=True)]


def filled(images, n):
    """Returns images as one array `[n, …]`, filled up with the first, so that one graph does."""
    return np.stack(images + [images[0]] * (n - len(images)))


def pixels(canvas, view, scale, height, width):
    """Returns the image that lies on a canvas, uint8 `[height, width, 3]`."""
    laid = np.clip(np.rint(np.array([height, width]) * scale).astype(int), 1, len(canvas))
    image = canvas[: laid[0], : laid[1]] * np.array(view.std) + np.array(view.mean)
    image = tf.image.resize(np.clip(255 * image, 0, 255), [height, width], antialias=True)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)
