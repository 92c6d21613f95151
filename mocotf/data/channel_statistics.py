"""Mean, standard deviation and range of each channel of many images."""

import math

import numpy as np

from mocotf.errors import UserError
from mocotf.files import atomic_write


def of(values):
    """Returns [pixels, means, sums of squared differences from them, least, most] of each channel.

    Args:
        values: `[h, w, C]`.
    """
    flat = values.reshape(-1, values.shape[-1]).astype(np.float64)
    means = flat.mean(axis=0)
    return [len(flat), means, np.square(flat - means).sum(axis=0), flat.min(axis=0), flat.max(axis=0)]


def joined(images):
    """Returns {"mean", "std", "min", "max": a number a channel} of all pixels of several `of`; {}
    of none."""
    if not images:
        return {}
    counts, means, squares, least, most = map(np.array, zip(*images, strict=True))
    shares = counts / counts.sum()
    mean = shares @ means
    variance = (squares.sum(axis=0) + counts @ np.square(means - mean)) / counts.sum()
    found = {"mean": mean, "std": np.sqrt(variance), "min": least.min(axis=0), "max": most.max(axis=0)}
    return {name: [float(f"{number:.6g}") for number in numbers] for name, numbers in found.items()}


def show(channels):
    """Prints what `joined` returns."""
    rows = zip(*channels.values(), strict=True)
    for number, (mean, std, least, most) in enumerate(rows, start=1):
        constant = ", constant: leave it out" if std == 0 else ""
        print(f"channel {number}: mean {mean:g}, std {std:g}, from {least:g} to {most:g}{constant}")


def write(path, channels):
    """Writes a flag file of mocotf.train.

    Raises:
        UserError: there is nothing to be written, or a channel that is constant.
    """
    if not channels or 0 in channels["std"] or not all(map(math.isfinite, channels["std"])):
        raise UserError(
            f"--write={path}: no image decoded, or one channel has the same value everywhere, so "
            "there is nothing to write; expected images that vary in every one of --channels"
        )
    lines = [f"--channels={len(channels['mean'])}"]
    lines += [f"--{name}={','.join(f'{x:g}' for x in channels[name])}" for name in ("mean", "std")]
    atomic_write(path, "\n".join(lines) + "\n")
