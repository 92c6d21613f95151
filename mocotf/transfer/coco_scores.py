"""COCO's metrics of detections, by pycocotools."""

import contextlib
import dataclasses
import io

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mocotf.errors import UserError

MOST_DETECTIONS = 100  # of an image, as COCO counts


@dataclasses.dataclass(frozen=True)
class CocoScores:
    """What COCO measures of boxes, in percent; classes without a box to be found do not count.

    Attributes:
        ap: average precision, mean over classes and IoU .5, .55, … .95.
        ap50, ap75: at IoU .5, .75.
    """

    ap: float
    ap50: float
    ap75: float


def coco_scores(truths, detections, classes, crowds=True):
    """Returns the `CocoScores`.

    Args:
        truths: for each image (boxes `[k, 4]`, labels `[k]`, hard `[k]` bool); boxes are y1, x1, y2, x2
            in pixels; a hard one may be missed and may be found, any number of times.
        detections: for each image (boxes `[m, 4]`, scores `[m]`, labels `[m]`).
        classes: how many there are.
        crowds: hard boxes are of crowds, in which a detection is found that lies within; else they are
            found by the same IoU as others, as VOC's difficult objects.

    Raises:
        UserError: no image has a box to be found.
    """
    annotations = _annotations(truths)
    if not any(not annotation["iscrowd"] for annotation in annotations):
        raise UserError(
            "no test image has a box to be found: nothing can be measured; expected annotations of "
            "test images; try more --test_images"
        )
    with contextlib.redirect_stdout(io.StringIO()):  # it reports every stage
        coco = COCO()
        coco.dataset = {
            "info": {},
            "images": [{"id": image} for image in range(1, len(truths) + 1)],
            "categories": [{"id": label, "name": str(label)} for label in range(1, classes + 1)],
            "annotations": annotations,
        }
        coco.createIndex()
        found = _results(detections)
        result = coco.loadRes(found) if found else None
        if result is None:
            return CocoScores(0.0, 0.0, 0.0)
        evaluation = (COCOeval if crowds else _VOCDifficult)(coco, result, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return CocoScores(*(100 * float(value) for value in evaluation.stats[:3]))


class _VOCDifficult(COCOeval):
    """Gives hard boxes the IoU of others; that of a crowd is over the detection's area alone."""

    def computeIoU(self, image, category):  # noqa: N802  (theirs)
        truths = self._gts[image, category]
        flags = [truth["iscrowd"] for truth in truths]
        for truth in truths:
            truth["iscrowd"] = 0
        overlaps = super().computeIoU(image, category)
        for truth, flag in zip(truths, flags, strict=True):
            truth["iscrowd"] = flag  # any number of detections may match it still
        return overlaps


def _annotations(truths):
    """Returns COCO's annotations; numbers begin with 1, for to pycocotools 0 means none."""
    annotations = []
    for image, (boxes, labels, hard) in enumerate(truths, 1):
        for box, label, is_hard in zip(np.asarray(boxes, float), labels, hard, strict=True):
            x, y, width, height = _xywh(box)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": int(label) + 1,
                    "bbox": [x, y, width, height],
                    "area": width * height,
                    "iscrowd": int(is_hard),
                }
            )
    return annotations


def _results(detections):
    return [
        {
            "image_id": image,
            "category_id": int(label) + 1,
            "bbox": _xywh(box),
            "score": float(score),
        }
        for image, (boxes, scores, labels) in enumerate(detections, 1)
        for box, score, label in zip(np.asarray(boxes, float), scores, labels, strict=True)
    ]


def _xywh(box):
    y1, x1, y2, x2 = (float(value) for value in box)
    return [x1, y1, x2 - x1, y2 - y1]
