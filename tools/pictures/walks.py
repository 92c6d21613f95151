"""Walks over the photographs in scikit-image's wheel: what a camera sees that moves, in changing light.

A class is a place, a photograph. In each sequence the camera goes on a straight path over it and comes
nearer or goes away, while the light goes from one colour and strength to another: frames of one
sequence show the same place, and look less alike than two crops of one picture, jittered, would.
"""

import os

import numpy as np
from PIL import Image

from mocotf.data.sources.patches import PHOTOGRAPHS
from mocotf.data.sources.patches import photograph
from tools.pictures.encoded import png

FRAMES = 12  # of a sequence
TRAINED_ON, HELD_OUT = 24, 5  # sequences of a place
SIDE = 32
NEAREST, FARTHEST = 56, 128  # sides of what a frame shows, pixels of the photograph
DARKEST = 0.4  # share of a channel's light; at most there is all of it
GAMMA = 1.5  # largest; the smallest is its inverse


def walks():
    """Yields (train/PLACE/SEQUENCE or test/PLACE/SEQUENCE, contents of its frames, PNG files)."""
    for number, name in enumerate(PHOTOGRAPHS):
        image, place = Image.fromarray(photograph(name)), os.path.splitext(name)[0]
        for sequence in range(TRAINED_ON + HELD_OUT):
            split = "train" if sequence < TRAINED_ON else "test"
            rng = np.random.default_rng([number, sequence])
            yield f"{split}/{place}/{sequence:02}", map(png, _frames(image, rng))


def _frames(image, rng):
    """Yields the frames of a sequence, Pillow images."""
    sides = np.geomspace(*rng.uniform(NEAREST, FARTHEST, 2), FRAMES)
    ends = rng.uniform(size=[2, 2])  # where it begins and where it ends, of what the camera can reach
    most = np.log([1, 1, 1, GAMMA])
    least = np.log([DARKEST, DARKEST, DARKEST, 1 / GAMMA])
    lights = np.exp(np.linspace(*rng.uniform(least, most, [2, 4]), FRAMES))
    for side, at, light in zip(sides, np.linspace(*ends, FRAMES), lights, strict=True):
        left, top = at * (np.array(image.size) - side)
        box = left, top, left + side, top + side
        frame = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=box)
        yield Image.fromarray(_lit(np.asarray(frame), light))


def _lit(frame, light):
    """Returns a frame, uint8 `[h, w, 3]`, in a light: shares of R, G, B that are left, and gamma."""
    return np.rint(255 * (frame / 255) ** light[3] * light[:3]).astype(np.uint8)
