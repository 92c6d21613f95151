"""Pictures of images with boxes: what is on them beside what was found."""

import colorsys

import numpy as np
from PIL import Image
from PIL import ImageDraw

SHOWN = 0.3  # detections of at least this score are drawn
TILE = 256  # pixels
GAP = 4


def box_picture(scenes, names, columns=3):
    """Returns a picture of pairs, each the truth at the left and the detections at the right.

    Args:
        scenes: for each image (image uint8 `[h, w, 3]`, truth, detections); truth is (boxes `[k, 4]`,
            y1, x1, y2, x2 in pixels, labels `[k]`), detections (boxes, scores `[k]`, labels).
        names: of the classes.
        columns: pairs in a row.

    Returns:
        uint8 `[height, width, 3]`.
    """
    pairs = []
    for image, (boxes, labels), (found, scores, found_labels) in scenes:
        sure = np.asarray(scores) >= SHOWN
        truth = _tile(image, boxes, [names[label] for label in labels], labels, names)
        texts = [f"{names[c]} {s:.2f}" for c, s in zip(found_labels[sure], scores[sure], strict=True)]
        answer = _tile(image, found[sure], texts, found_labels[sure], names)
        gap = np.full((TILE, GAP, 3), 255, np.uint8)
        pairs.append(np.concatenate([truth, gap, answer], axis=1))
    rows = -(-len(pairs) // columns)
    blank = np.full_like(pairs[0], 255)
    pairs += [blank] * (rows * columns - len(pairs))
    padded = [np.pad(pair, ((0, 2 * GAP), (0, 4 * GAP), (0, 0)), constant_values=255) for pair in pairs]
    lines = [np.concatenate(padded[r * columns : (r + 1) * columns], axis=1) for r in range(rows)]
    return np.concatenate(lines, axis=0)


def colour_of(label, classes):
    """Returns the colour of a class, (R, G, B) in 0…255: bright, and unlike its neighbours'."""
    hue = (label * 0.61803) % 1
    lightness = 0.5 + 0.12 * (label % 3) / max(1, min(2, classes - 1))
    return tuple(round(255 * part) for part in colorsys.hls_to_rgb(hue, lightness, 1.0))


def _tile(image, boxes, texts, labels, names):
    """Returns an image with labelled boxes, uint8 `[TILE, TILE, 3]`."""
    height, width = image.shape[:2]
    scale = TILE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    tile = Image.new("RGB", (TILE, TILE), (255, 255, 255))
    tile.paste(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
    draw = ImageDraw.Draw(tile)
    for box, text, label in zip(boxes, texts, labels, strict=True):
        y1, x1, y2, x2 = (float(value) * scale for value in box)
        colour = colour_of(int(label), len(names))
        draw.rectangle((x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)), outline=colour, width=2)
        left, top, right, bottom = draw.textbbox((x1 + 2, y1 + 1), text)
        draw.rectangle((left - 2, top - 1, right + 2, bottom + 1), fill=colour)
        draw.text((x1 + 2, y1 + 1), text, fill=(0, 0, 0))
    return np.asarray(tile)
