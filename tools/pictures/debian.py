"""Pictures out of Debian's packages, which are unpacked somewhere: nothing of them is installed.

Clip art is of the public domain, the photographs are under the GPL; both are only read.
"""

import hashlib
import itertools
import os

import numpy as np
from PIL import Image

from mocotf.data.places.directory import list_images
from mocotf.errors import UserError
from tools.pictures.encoded import jpeg
from tools.pictures.encoded import on_white
from tools.pictures.encoded import png

CLIP_ART = {  # class → folder in openclipart-png
    "animals": "animals",
    "flags": "signs_and_symbols/flags",
    "food": "food",
    "people": "people",
    "tools": "tools",
    "transportation": "transportation",
}
MOST_OF_A_CLASS = 300
LONG_SIDE = 128  # of clip art
SHORTEST, LONGEST, SLIMMEST = 48, 4000, 4  # sides of what is taken, pixels; and one over the other
# In plasma-workspace-wallpapers, all of 2560 x 1600 pixels; the others there are drawings.
PHOTOGRAPHS = (
    "Autumn",
    "BytheWater",
    "ColdRipple",
    "ColorfulCups",
    "DarkestHour",
    "EveningGlow",
    "FallenLeaf",
    "Grey",
    "Kite",
    "OneStandsOut",
    "Path",
    "summer_1am",
)
SIZE = (1920, 1200)  # of a photograph, before it is cut
TILE = 240
TRAINED_ON = 24  # tiles of the 40 of a photograph


def clip_art(packages):
    """Yields (class, contents of its PNG files) of Debian's openclipart-png, on white.

    A drawing that is there twice is taken once; icons, and what is very large or slim, not at all.

    Args:
        packages: folder that the package is unpacked in.

    Raises:
        UserError: it is not there.
    """
    folder = os.path.join(packages, "usr/share/openclipart/png")
    _check(folder, "openclipart-png", packages)
    Image.MAX_IMAGE_PIXELS = None  # _is_usable looks at sides before anything is decoded
    seen = set()
    for name, below in CLIP_ART.items():
        drawings = _drawings(os.path.join(folder, below), seen)
        yield name, itertools.islice(drawings, MOST_OF_A_CLASS)


def photographs(packages, names=PHOTOGRAPHS):
    """Yields (train/PHOTOGRAPH or test/PHOTOGRAPH, contents of its JPEG files).

    Each photograph of plasma-workspace-wallpapers is cut into tiles, some of which, at random, are held
    out: no pixel is in two pictures.

    Args:
        packages: folder that the package is unpacked in.
        names: of the photographs.

    Raises:
        UserError: it is not there.
    """
    folder = os.path.join(packages, "usr/share/wallpapers")
    _check(folder, "plasma-workspace-wallpapers", packages)
    for name in names:
        path = os.path.join(folder, name, "contents/images/2560x1600.jpg")
        with Image.open(path) as image:
            tiles = _tiles(image.convert("RGB").resize(SIZE, Image.Resampling.LANCZOS))
        order = np.random.default_rng(0).permutation(len(tiles))
        for split, places in (("train", order[:TRAINED_ON]), ("test", order[TRAINED_ON:])):
            yield f"{split}/{name}", [jpeg(tiles[place]) for place in places]


def _check(folder, package, packages):
    if not os.path.isdir(folder):
        raise UserError(
            f"--packages={packages}: no {folder}; expected Debian's {package}, unpacked; try: make "
            "packages, or, where it is installed, --packages=/"
        )


def _drawings(folder, seen):
    """Yields the contents of files of a class's drawings; adds their digests to the set `seen`."""
    for path in list_images(folder):
        if os.path.islink(path) or not _is_usable(path):  # a link leads to another subject
            continue
        content = _drawing(path)
        digest = hashlib.sha256(content).digest()
        if digest not in seen:
            seen.add(digest)
            yield content


def _is_usable(path):
    with Image.open(path) as image:
        short, long = sorted(image.size)
    return short >= SHORTEST and long <= min(LONGEST, SLIMMEST * short)


def _drawing(path):
    with Image.open(path) as image:
        image = image.convert("RGBA")
    image.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.LANCZOS)
    return png(on_white(image))


def _tiles(image):
    """Returns the whole tiles of a Pillow image, row by row."""
    return [
        image.crop((left, top, left + TILE, top + TILE))
        for top in range(0, image.height - TILE + 1, TILE)
        for left in range(0, image.width - TILE + 1, TILE)
    ]
