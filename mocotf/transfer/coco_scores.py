"""COCO's metrics of detections, by pycocotools."""

import contextlib
import dataclasses
import io

import numpy as np

from mocotf.errors import UserError

MOST_DETECTIONS = 100  # of an image, as COCO counts


@dataclasses.dataclass(frozen=True)
class CocoScores:
    """What COCO measures of boxes, in percent; classes without a box to be found do not count.

    Attributes:
        ap: average precision, mean over classes and IoU .5, .55, … .95.
        ap50, ap75: at IoU .5, .75.
        of_classes: AP of each class, `[classes]`; NaN where the truth has none.
    """

    ap: float
    ap50: float
    ap75: float
    of_classes: np.ndarray


def coco_scores(truths, detections, classes):
    """Returns the `CocoScores`.

    Args:
        truths: for each image (boxes `[k, 4]`, labels `[k]`, hard `[k]` bool); boxes are y1, x1, y2, x2
            in pixels; a hard one may be found and may be missed, neither counts.
        detections: for each image (boxes `[m, 4]`, scores `[m]`, labels `[m]`).
        classes: how many there are.

    Raises:
        UserError: no image has a box to be found, or pycocotools is not installed.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise UserError("pycocotools is not installed; try: pip install pycocotools==2.0.11") from error
    annotations = _annotations(truths)
    if not any(not annotation["iscrowd"] for annotation in annotations):
        raise UserError("no test image has a box to be found: nothing can be measured")
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
            present = {annotation["category_id"] - 1 for annotation in annotations}
            nothing = [0.0 if label in present else np.nan for label in range(classes)]
            return CocoScores(0.0, 0.0, 0.0, np.array(nothing))
        evaluation = COCOeval(coco, result, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    # [IoU, recall, class, area, detections]; -1 where a class has no truth
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    precision = np.where(precision < 0, np.nan, precision)
    absent = np.isnan(precision).all(axis=(0, 1))
    of_classes = np.full(classes, np.nan)
    of_classes[~absent] = 100 * np.nanmean(precision[:, :, ~absent], axis=(0, 1))
    ap, ap50, ap75 = (100 * float(value) for value in evaluation.stats[:3])
    return CocoScores(ap, ap50, ap75, of_classes)


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
