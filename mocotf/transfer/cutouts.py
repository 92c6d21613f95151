"""The embedded task of detection and segmentation: cut-outs of photographs on a canvas of another.

Nothing is downloaded. Ten photographs of the source `patches` are the classes, four the canvases, at
the scale of its patches. Training and test images are made of training tiles and of held-out tiles,
as training and test patches are: no pixel of a test image is in a training image or patch.
"""

import dataclasses
import functools

import numpy as np

from mocotf.data.sources.patches import Patches
from mocotf.data.sources.patches import halved

CANVASES = ("astronaut", "camera", "motorcycle_left", "rocket")
CLASSES = tuple(name for name in Patches.class_names if name not in CANVASES)
SPLITS = ("train", "test")
MOST = 5  # cut-outs on a canvas
RADIUS = 10, 20  # of a cut-out before its outline varies, pixels
WAVES = np.arange(2, 6)  # of its outline, a turn
SWING = 0.08  # standard deviation of a wave, of the radius
GAIN = 0.75, 1.25  # of a cut-out's brightness
VISIBLE = 0.5  # smallest share of a cut-out that is seen


@dataclasses.dataclass(frozen=True)
class Cutouts:
    """Images with what is on them; `cutouts` makes it.

    Attributes:
        images: uint8 RGB `[n, S, S, 3]`.
        boxes: of each image float32 `[k, 4]`: y1, x1, y2, x2 in pixels, around what is seen of each
            cut-out; y2 and x2 are behind its last pixel.
        labels: of each image int64 `[k]`, places in `CLASSES`.
        masks: uint8 `[n, S, S]`: 0 for the canvas, 1 + label for a cut-out.
    """

    images: np.ndarray
    boxes: list[np.ndarray]
    labels: list[np.ndarray]
    masks: np.ndarray


def cutouts(split, n, seed=0, size=96):
    """Returns n images of a split; an image depends on split, seed, size and its place only.

    Each has 1 to 5 cut-outs, of which at least half is seen.

    Args:
        split: "train" or "test".
        n: how many.
        seed: of what is cut out and where.
        size: side of the images S, pixels.
    """
    numbered = ((SPLITS.index(split), seed, i) for i in range(n))
    made = [_compose(split, np.random.default_rng(key), size) for key in numbered]
    images, boxes, labels, masks = zip(*made, strict=True)
    return Cutouts(np.stack(images), list(boxes), list(labels), np.stack(masks))


def _compose(split, rng, size):
    """Returns one image with its boxes, labels and mask."""
    tile = _tile(split, rng.choice(CANVASES), rng)
    # Mirrored at its borders, it fills the canvas without a seam.
    image = np.pad(tile, [(0, max(0, size - len(tile)))] * 2 + [(0, 0)], "symmetric")[:size, :size]
    owner = np.zeros([size, size], np.int64)  # 0 for the canvas, else the number of a cut-out
    labels, areas = [], []
    for _ in range(rng.integers(1, MOST + 1)):
        label = int(rng.integers(len(CLASSES)))
        texture = _tile(split, CLASSES[label], rng)
        shape = _outline(len(texture), rng)
        top, left = np.round(rng.uniform(0.1, 0.9, 2) * size - len(texture) / 2).astype(int)
        inside = _shifted(shape, top, left, size)
        proposed = np.where(inside, len(labels) + 1, owner)
        seen = np.bincount(proposed.ravel(), minlength=len(labels) + 2)[1:]
        if np.any(seen < VISIBLE * np.array([*areas, shape.sum()])):
            continue  # it would cover another, or lie half outside
        owner = proposed
        rows, columns = np.nonzero(inside)
        image[rows, columns] = texture[rows - top, columns - left]
        labels.append(label)
        areas.append(shape.sum())
    if not labels:
        return _compose(split, rng, size)
    boxes = np.array([_box(owner == i + 1) for i in range(len(labels))], np.float32)
    mask = np.array([0, *(label + 1 for label in labels)], np.uint8)[owner]
    return image, boxes, np.array(labels, np.int64), mask


@functools.cache
def _tiles():
    """Returns name of a photograph → split → its tiles, halved."""
    photographs = zip(Patches.class_names, Patches().tiles, strict=True)
    return {
        name: dict(zip(SPLITS, ([halved(tile) for tile in part] for part in parts), strict=True))
        for name, parts in photographs
    }


def _tile(split, name, rng):
    """Returns a new copy of a tile, brighter or darker, mirrored or not."""
    some = _tiles()[name][split]
    tile = some[rng.integers(len(some))][:, :: rng.choice([1, -1])]
    return np.clip(np.round(tile * rng.uniform(*GAIN)), 0, 255).astype(np.uint8)


def _outline(side, rng):
    """Returns a random shape, bool `[side, side]`: a disc whose radius goes in waves."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    waves = rng.normal(0, SWING, len(WAVES))
    phases = rng.uniform(0, 2 * np.pi, len(WAVES))
    angles = np.arctan2(y, x)[..., None] * WAVES + phases
    return np.hypot(y, x) <= rng.uniform(*RADIUS) * (1 + np.cos(angles) @ waves)


def _shifted(shape, top, left, size):
    """Returns bool `[size, size]` with a shape at (top, left), as far as it is inside."""
    inside = np.zeros([size, size], bool)
    rows, columns = np.nonzero(shape)
    rows, columns = rows + top, columns + left
    on = (rows >= 0) & (rows < size) & (columns >= 0) & (columns < size)
    inside[rows[on], columns[on]] = True
    return inside


def _box(seen):
    """Returns y1, x1, y2, x2 of the pixels that are True."""
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    return rows[0], columns[0], rows[-1] + 1, columns[-1] + 1
