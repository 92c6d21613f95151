"""From what a picture measures, in numbers of any range, to the 256 levels of a screen."""

import numpy as np

WHITES = 1 << 8, 1 << 12, 1 << 16  # what is just above white, of 8, 12 and 16 bits


def to_levels(values):
    """Returns uint8 levels of numbers, of which a picture's largest says what white is.

    - From 0 to 65535 they are of 8, 12 or 16 bits, the fewest that hold the largest, as of a PNG.
    - Floats from 0 to 1 are shares of white.
    - What has others is stretched from its smallest to its largest. NaN is the smallest.

    Args:
        values: an array of integers or floats, of any shape.
    """
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    if low < 0 or high >= WHITES[-1]:
        return stretched(values, low, high)
    if values.dtype.kind == "f" and high <= 1:
        return stretched(values, 0.0, 1.0)
    values = np.nan_to_num(values.astype(np.float32), nan=low, posinf=high, neginf=low)
    return (values * (256 / next(white for white in WHITES if high < white))).astype(np.uint8)


@np.errstate(over="ignore", invalid="ignore")  # of numbers that float32 does not have
def stretched(values, low, high):
    """Returns uint8 levels of numbers: black up to `low`, white from `high` on."""
    shares = (values.astype(np.float32) - low) / max(high - low, np.finfo(np.float32).tiny)
    return np.rint(255 * np.clip(np.nan_to_num(shares, nan=0.0), 0, 1)).astype(np.uint8)
