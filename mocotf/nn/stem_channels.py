"""Weights that were trained on RGB, for images of other channels."""

import logging

import numpy as np

from mocotf.errors import UserError

RGB = 3

log = logging.getLogger(__name__)


def adapt_stem(values, shapes, source, axis=2):
    """Returns weights whose first convolution takes as many channels as is expected.

    From RGB to N it takes R, G, B, R, … times 3 / N, as timm does, so that what it gives keeps its
    scale; to one channel it is their sum.

    Args:
        values: name → array; returned as they are if they fit, or do not in more than a kernel's
            channels.
        shapes: name → shape that is expected.
        source: what messages call it.
        axis: of the channels in a kernel of four axes.

    Raises:
        UserError: they were trained on images of another number of channels, which is not three.
    """
    known = values.keys() & shapes.keys()
    misfits = [name for name in known if tuple(values[name].shape) != tuple(shapes[name])]
    if len(misfits) != 1:
        return values
    (name,) = misfits
    kernel, shape = values[name], shapes[name]
    if len(shape) != 4 or [*np.delete(kernel.shape, axis)] != [*np.delete(shape, axis)]:
        return values
    channels, N = kernel.shape[axis], shape[axis]
    if channels != RGB:
        raise UserError(
            f"{source}: was trained on images of {channels} channels; expected {N}, or {RGB}, RGB, "
            "which can be adapted to any number"
        )
    log.warning("%s: its first convolution, of RGB, is adapted to %d channels", source, N)
    if N == 1:
        return values | {name: kernel.sum(axis, keepdims=True)}
    repeated = np.take(kernel, np.arange(N) % RGB, axis) * (RGB / N)
    return values | {name: repeated.astype(kernel.dtype)}
