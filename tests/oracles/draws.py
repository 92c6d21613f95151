"""Oracle: the distribution of torchvision's RandomResizedCrop, sampled and integrated in NumPy."""

import math

import numpy as np

SCALE, RATIO, TRIES = (0.2, 1.0), (3 / 4, 4 / 3), 10


def crop(rng, H, W, scale=SCALE, ratio=RATIO, tries=TRIES):
    """Draws one crop of an H×W image.

    Args:
      rng: a `numpy.random.Generator`.
      scale: range of the area as a fraction of the image's, uniform.
      ratio: range of width / height, log-uniform.

    Returns:
      (top, left, h, w, tries used); the last is `tries` + 1 for the fallback.
    """
    for attempt in range(1, tries + 1):
        area = H * W * rng.uniform(*scale)
        aspect = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        w = int(round(math.sqrt(area * aspect)))
        h = int(round(math.sqrt(area / aspect)))
        if 0 < w <= W and 0 < h <= H:
            top = int(rng.integers(0, H - h, endpoint=True))
            left = int(rng.integers(0, W - w, endpoint=True))
            return top, left, h, w, attempt
    return (*fallback(H, W, ratio), tries + 1)


def fallback(H, W, ratio=RATIO):
    """The largest central crop with width / height inside `ratio`: (top, left, h, w)."""
    if ratio[0] > W / H:
        h, w = int(round(W / ratio[0])), W
    elif ratio[1] < W / H:
        h, w = H, int(round(H * ratio[1]))
    else:
        h, w = H, W
    return (H - h) // 2, (W - w) // 2, h, w


def crops(seed, n, H, W, scale=SCALE, ratio=RATIO, tries=TRIES):
    """Draws n crops: int array [n, 5] of the rows that `crop` returns."""
    rng = np.random.default_rng(seed)
    return np.array([crop(rng, H, W, scale, ratio, tries) for _ in range(n)])


def fallback_rate(seed, n, H, W, scale=SCALE, ratio=RATIO, tries=TRIES):
    """The fallback's share by Monte Carlo: (rate, standard error of it)."""
    rate = float(np.mean(crops(seed, n, H, W, scale, ratio, tries)[:, 4] > tries))
    return rate, math.sqrt(max(rate * (1.0 - rate), 1.0 / n) / n)


def accepted(H, W, scale=SCALE, ratio=RATIO, points=1000):
    """One try, integrated: the (area, log aspect) grid and which of its points fit the image.

    Returns:
      (area, log_aspect, fits): midpoints [points, 1] and [1, points], each point equally likely,
      and the mask [points, points]. Means over the mask are those of crops that did not fall
      back: `fits.mean()` is the chance of a try, `fits.mean(1) / fits.mean()` the density of area.
    """
    middle = (np.arange(points) + 0.5) / points
    area = (scale[0] + (scale[1] - scale[0]) * middle)[:, None]
    low, high = math.log(ratio[0]), math.log(ratio[1])
    log_aspect = (low + (high - low) * middle)[None]
    w = np.rint(np.sqrt(H * W * area * np.exp(log_aspect)))
    h = np.rint(np.sqrt(H * W * area / np.exp(log_aspect)))
    return area, log_aspect, (w > 0) & (w <= W) & (h > 0) & (h <= H)


def expected_fallback_rate(H, W, scale=SCALE, ratio=RATIO, tries=TRIES):
    """The fallback's share by integration: (1 − chance of a try) ^ tries."""
    return float((1.0 - accepted(H, W, scale, ratio)[2].mean()) ** tries)


def expected_moments(H, W, scale=SCALE, ratio=RATIO):
    """Mean and standard deviation of (area fraction, log aspect) of accepted tries.

    Returns:
      {"area": (mean, std), "log_aspect": (mean, std)} of the drawn values, before w and h are
      rounded; rounding moves those of the crop by about one part in its side.
    """
    area, log_aspect, fits = accepted(H, W, scale, ratio)
    values = {"area": area, "log_aspect": log_aspect}
    values = {name: np.broadcast_to(v, fits.shape)[fits] for name, v in values.items()}
    return {name: (float(v.mean()), float(v.std())) for name, v in values.items()}
