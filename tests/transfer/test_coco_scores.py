"""COCO's metrics on cases that can be counted by hand, and against pycocotools on its own files."""

import numpy as np
import pytest

from mocotf.errors import UserError
from mocotf.transfer.coco_scores import coco_scores

BOX = [10.0, 20.0, 50.0, 80.0]  # y1, x1, y2, x2: 40 high, 60 wide
FAR = [200.0, 200.0, 240.0, 260.0]


def truth(*boxes, labels=None, hard=None):
    zeros = np.zeros(len(boxes), int)
    return np.reshape(boxes, (-1, 4)), np.array(labels or zeros), np.array(hard or zeros, bool)


def found(*boxes, scores=None, labels=None):
    scores = scores or 0.9 - 0.1 * np.arange(len(boxes))
    return np.reshape(boxes, (-1, 4)), np.array(scores), np.array(labels or [0] * len(boxes), int)


def shifted(pixels):
    """Returns BOX moved to the right: its IoU with BOX is (60 - pixels) / (60 + pixels)."""
    return [BOX[0], BOX[1] + pixels, BOX[2], BOX[3] + pixels]


@pytest.mark.parametrize(
    ("pixels", "ap", "ap50", "ap75"),
    [
        (0, 100, 100, 100),
        (5, 70, 100, 100),  # IoU .846: right at .5 … .8, 7 of 10 thresholds
        (12, 40, 100, 0),  # .667: at .5 … .65
        (25, 0, 0, 0),  # .412
    ],
)
def test_what_is_shifted_is_right_at_some_thresholds(pixels, ap, ap50, ap75):
    scores = coco_scores([truth(BOX)], [found(shifted(pixels))], 1)
    assert (scores.ap, scores.ap50, scores.ap75) == pytest.approx((ap, ap50, ap75))


def test_a_box_found_twice_and_a_box_missed():
    twice = coco_scores([truth(BOX, FAR)], [found(BOX, BOX, FAR)], 1)
    # Precision 1 up to recall .5, then 2/3: of 101 recalls 51 and 50.
    assert twice.ap50 == pytest.approx(100 * (51 + 50 * 2 / 3) / 101)
    missed = coco_scores([truth(BOX, FAR)], [found(BOX)], 1)
    assert missed.ap50 == pytest.approx(100 * 51 / 101)


def test_classes_count_alike_and_absent_ones_not_at_all():
    scores = coco_scores([truth(BOX, BOX, labels=[0, 2])], [found(BOX, BOX, labels=[0, 1])], 3)
    assert scores.ap == pytest.approx(50)


def test_a_hard_box_may_be_found_and_may_be_missed():
    truths = [truth(BOX, FAR, hard=[False, True])]
    for detections in (found(BOX), found(FAR, BOX), found(BOX, FAR)):
        assert coco_scores(truths, [detections], 1).ap == pytest.approx(100)


@pytest.mark.parametrize(("crowds", "ap"), [(True, 100), (False, 50)])
def test_within_a_crowd_is_found_and_within_a_difficult_object_is_wrong(crowds, ap):
    truths = [truth(BOX, FAR, hard=[False, True])]
    wrong_first = [found([200.0, 200.0, 215.0, 215.0], BOX)]
    assert coco_scores(truths, wrong_first, 1, crowds=crowds).ap == pytest.approx(ap)
    twice_first = [found(FAR, FAR, BOX)]  # by VOC's rule, too, it may be found again
    assert coco_scores(truths, twice_first, 1, crowds=crowds).ap == pytest.approx(100)


def test_images_without_objects_or_detections():
    truths = [truth(), truth(BOX), truth()]
    assert coco_scores(truths, [found(), found(BOX), found()], 1).ap == pytest.approx(100)
    wrong = coco_scores(truths, [found(BOX, scores=[0.99]), found(BOX), found()], 1)
    assert wrong.ap == pytest.approx(50)  # half of what was found, at every recall
    assert coco_scores(truths, [found()] * 3, 1).ap == 0


@pytest.mark.parametrize("truths", [[truth()], [truth(BOX, hard=[True])]])
def test_nothing_to_find_is_told(truths):
    with pytest.raises(UserError, match="no test image has a box to be found"):
        coco_scores(truths, [found(BOX)], 1)
