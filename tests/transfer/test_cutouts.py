"""Cut-outs on canvases: a pure function of its arguments, tight boxes, no pixel in both splits."""

import collections

import numpy as np
import pytest

from mocotf.data.sources.patches import Patches
from mocotf.data.sources.patches import halved
from mocotf.transfer import cutouts as module
from mocotf.transfer.cutouts import CANVASES
from mocotf.transfer.cutouts import CLASSES
from mocotf.transfer.cutouts import cutouts


def test_shapes_and_types():
    made = cutouts("train", 3, size=120)
    assert made.images.shape == (3, 120, 120, 3) and made.images.dtype == np.uint8
    assert made.masks.shape == (3, 120, 120) and made.masks.dtype == np.uint8
    for boxes, labels in zip(made.boxes, made.labels, strict=True):
        assert boxes.shape == (len(labels), 4) and boxes.dtype == np.float32
        assert 1 <= len(labels) <= module.MOST and labels.dtype == np.int64
    assert len(CLASSES) == 10 and set(CLASSES) | set(CANVASES) == set(Patches.class_names)


def test_an_image_depends_on_split_seed_and_place_only():
    few, many = cutouts("train", 3, seed=1), cutouts("train", 5, seed=1)
    assert np.array_equal(few.images, many.images[:3]) and np.array_equal(few.masks, many.masks[:3])
    again = cutouts("train", 5, seed=1)
    for name in ("images", "boxes", "labels", "masks"):
        for a, b in zip(getattr(many, name), getattr(again, name), strict=True):
            np.testing.assert_array_equal(a, b)
    assert not np.array_equal(few.images, cutouts("train", 3, seed=2).images)
    assert not np.array_equal(few.masks, cutouts("test", 3, seed=1).masks)


def test_all_classes_come_up_equally_often():
    counts = np.bincount(np.concatenate(cutouts("train", 400).labels), minlength=len(CLASSES))
    assert counts.min() > 0.7 * counts.mean()


def test_boxes_are_tight_around_the_masks():
    made = cutouts("test", 60)
    alone = 0
    for boxes, labels, mask in zip(made.boxes, made.labels, made.masks, strict=True):
        assert set(np.unique(mask)) == {0, *(labels + 1)}
        for (y1, x1, y2, x2), label in zip(boxes.astype(int), labels, strict=True):
            seen = mask[y1:y2, x1:x2] == label + 1
            # A row or a column less would cut something off.
            assert seen[0].any() and seen[-1].any() and seen[:, 0].any() and seen[:, -1].any()
            if np.count_nonzero(labels == label) == 1:
                assert seen.sum() == np.count_nonzero(mask == label + 1)
                alone += 1
    assert alone > 60


def test_nothing_is_mostly_covered(monkeypatch):
    # Shapes all alike: at least half of each is seen.
    disc = np.hypot(*(np.mgrid[:50, :50] - 24.5)) <= 15
    monkeypatch.setattr(module, "_outline", lambda side, rng: disc)
    made = cutouts("train", 60)
    for labels, mask in zip(made.labels, made.masks, strict=True):
        for label in set(labels.tolist()):
            count = np.count_nonzero(labels == label)
            assert np.count_nonzero(mask == label + 1) >= count * disc.sum() / 2


@pytest.mark.parametrize("split", ["train", "test"])
def test_pixels_are_of_tiles_of_the_split(split, monkeypatch):
    """Tiles of one colour each: an image may have its own split's only, at its classes' places."""
    part = module.SPLITS.index(split)
    colours = collections.defaultdict(dict)
    for i, name in enumerate((*CANVASES, *CLASSES)):
        for p, s in enumerate(module.SPLITS):
            colours[name][s] = [np.full((50, 50, 3), 10 + 10 * i + 5 * p, np.uint8)]
    monkeypatch.setattr(module, "_tiles", lambda: colours)
    monkeypatch.setattr(module, "GAIN", (1.0, 1.0))
    made = cutouts(split, 20)
    for image, mask in zip(made.images, made.masks, strict=True):
        expected = 10 + 10 * (len(CANVASES) + mask.astype(int) - 1) + 5 * part
        np.testing.assert_array_equal(image[mask > 0], expected[mask > 0][:, None].repeat(3, 1))
        assert set(np.unique(image[mask == 0])) <= set(10 + 10 * np.arange(len(CANVASES)) + 5 * part)


def test_tiles_are_split_as_those_of_patches_are():
    for name, parts in zip(Patches.class_names, Patches().tiles, strict=True):
        for split, tiles in zip(module.SPLITS, parts, strict=True):
            for own, tile in zip(module._tiles()[name][split], tiles, strict=True):
                np.testing.assert_array_equal(own, halved(tile))
