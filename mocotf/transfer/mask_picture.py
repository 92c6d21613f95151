"""Pictures of images with masks: what is on them beside what was found."""

import numpy as np
from PIL import Image

from mocotf.transfer.box_picture import colour_of
from mocotf.transfer.segmenter import IGNORED

TILE = 192  # pixels
GAP = 4
GRAY = 128  # of what is ignored


def mask_picture(shown, classes, columns=3):
    """Returns a picture of triples: an image, its mask, and the classes found.

    Args:
        shown: for each image (image uint8 `[h, w, 3]`, mask, found uint8 `[h, w]`).
        classes: how many; 0 is black.
        columns: triples in a row.

    Returns:
        uint8 `[height, width, 3]`.
    """
    palette = np.full([IGNORED + 1, 3], GRAY, np.uint8)
    palette[:classes] = [colour_of(c, classes) for c in range(classes)]
    palette[0] = 0
    triples = [
        np.concatenate([_tile(part) for part in (image, palette[mask], palette[found])], axis=1)
        for image, mask, found in shown
    ]
    triples += [np.full_like(triples[0], 255)] * (-len(triples) % columns)
    # More room between triples than within them.
    triples = [np.pad(t, ((0, GAP), (0, 3 * GAP), (0, 0)), constant_values=255) for t in triples]
    rows = [np.concatenate(triples[i : i + columns], axis=1) for i in range(0, len(triples), columns)]
    return np.concatenate(rows, axis=0)


def _tile(pixels):
    """Returns an image at the top left of a white square and a gap, its pixels not mixed."""
    scale = TILE / max(pixels.shape[:2])
    size = [max(1, round(side * scale)) for side in pixels.shape[1::-1]]
    tile = Image.new("RGB", (TILE + GAP, TILE), (255, 255, 255))
    tile.paste(Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST))
    return np.asarray(tile)
