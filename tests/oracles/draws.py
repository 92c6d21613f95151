"""Oracle: the distribution of torchvision's RandomResizedCrop, sampled and integrated in NumPy."""

import math

import numpy as np

SCALE, RATIO, TRIES = (0.2, 1.0), (3 / 4, 4 / 3), 10


def crop(rng, H, W, scale=SCALE, ratio=RATIO):
    """Draws one crop of an H×W image: (top, left, h, w, tries used, TRIES + 1 for the fallback).

    Its share of the area is uniform in `scale`, width / height log-uniform in `ratio`.
    """
    for attempt in range(1, TRIES + 1):
        area = H * W * rng.uniform(*scale)
        aspect = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        w = int(round(math.sqrt(area * aspect)))
        h = int(round(math.sqrt(area / aspect)))
        if 0 < w <= W and 0 < h <= H:
            top = int(rng.integers(0, H - h, endpoint=True))
            left = int(rng.integers(0, W - w, endpoint=True))
            return top, left, h, w, attempt
    return (*fallback(H, W, ratio), TRIES + 1)


def fallback(H, W, ratio=RATIO):
    """The largest central crop with width / height inside `ratio`: (top, left, h, w)."""
    if ratio[0] > W / H:
        h, w = int(round(W / ratio[0])), W
    elif ratio[1] < W / H:
        h, w = H, int(round(H * ratio[1]))
    else:
        h, w = H, W
    return (H - h) // 2, (W - w) // 2, h, w


def crops(seed, n, H, W, scale=SCALE):
    """Draws n crops: int array [n, 5] of the rows that `crop` returns."""
    rng = np.random.default_rng(seed)
    return np.array([crop(rng, H, W, scale) for _ in range(n)])


def accepted(H, W, scale=SCALE, points=1000):
    """One try, integrated: (area, log_aspect, fits).

    Midpoints [points, 1] and [1, points] of a grid, each point equally likely, before w and h are
    rounded, and the mask of those that fit the image. Means over the mask are those of crops that did
    not fall back: `fits.mean()` is the chance of a try, `fits.mean(1) / fits.mean()` area's density.
    """
    middle = (np.arange(points) + 0.5) / points
    area = (scale[0] + (scale[1] - scale[0]) * middle)[:, None]
    low, high = map(math.log, RATIO)
    log_aspect = (low + (high - low) * middle)[None]
    w = np.rint(np.sqrt(H * W * area * np.exp(log_aspect)))
    h = np.rint(np.sqrt(H * W * area / np.exp(log_aspect)))
    return area, log_aspect, (w > 0) & (w <= W) & (h > 0) & (h <= H)


def expected_fallback_rate(H, W, scale=SCALE):
    """The fallback's share by integration: (1 − chance of a try) ^ TRIES."""
    return float((1.0 - accepted(H, W, scale)[2].mean()) ** TRIES)
