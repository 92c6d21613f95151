"""What image files are of: by a look into some of them."""

import collections
import contextlib
import statistics
import time
import warnings
from typing import NamedTuple

import numpy as np
from PIL import Image

from mocotf.data.views.formats import HEAD
from mocotf.data.views.formats import format_of
from mocotf.data.views.other_formats import exif_orientation
from mocotf.data.views.other_formats import register

SAMPLE = 2000
SECONDS = 5.0
OTHER = "unknown"
BESIDE_PILLOW = "DICOM", "NPY"
USE = {False: "used as they are stored", True: "turned"}  # of rotated pictures, by --upright


class Survey(NamedTuple):
    """What was seen.

    Attributes:
        looked: files that were looked into.
        formats: name → how many of them.
        rotated: of them, those that EXIF says are to be turned or mirrored.
        sides: (width, height) of those that Pillow knows, as they are stored.
        whole: whether they are all.
    """

    looked: int
    formats: dict[str, int]
    rotated: int
    sides: list[tuple[int, int]]
    whole: bool

    @property
    def kinds(self):
        """The formats, the most frequent first, and the size: "97 % JPEG, 3 % PNG, 500×375 median"."""
        known = sorted(self.formats.items(), key=lambda item: -item[1])
        formats = [f"{_percent(n, self.looked)} {name}" for name, n in known]
        return self._about + ", ".join([*formats, *self._size])

    def rotation(self, use):
        """Returns that files are rotated by EXIF, and what `use` is made of them; "" where none is."""
        if not self.rotated:
            return ""
        return f"{self._about}{_percent(self.rotated, self.looked)} rotated by EXIF, {use}"

    @property
    def _size(self):
        """The median of the widths and that of the heights, a text; none of what has no sides."""
        if self.sides:
            width, height = (statistics.median_low(sides) for sides in zip(*self.sides, strict=True))
            yield f"{width}×{height}" + " median" * (len(set(self.sides)) > 1)

    @property
    def _about(self):
        return "" if self.whole else "≈ "


def survey(path_of, size):
    """Returns the `Survey` of `size` files: of `SAMPLE`, always the same, or as many of these as there
    is time for in `SECONDS`.

    Args:
        path_of: number of a file → its path, bytes; or the file, open.
        size: files there are.
    """
    numbers = np.arange(size)
    if size > SAMPLE:
        numbers = np.random.default_rng(0).choice(size, SAMPLE, replace=False)
    formats, rotated, sides, looked = collections.Counter(), 0, [], 0
    end = time.monotonic() + SECONDS
    with warnings.catch_warnings(action="ignore"):  # of large images, and odd EXIF
        for number in numbers:
            kind, orientation, of_file = look_into(path_of(int(number)))
            formats[kind] += 1
            sides += [of_file] if of_file else []
            rotated += orientation != 1
            looked += 1
            if time.monotonic() > end:
                break
    return Survey(looked, dict(formats), rotated, sides, looked == size)


def look_into(file):
    """Returns (format of an image file, a path or an open file; the orientation that EXIF says it has,
    from 1, as it is, to 8; its (width, height), None where Pillow does not know them)."""
    register()
    kind = None
    try:
        kind = _format(file)
        if kind in BESIDE_PILLOW:
            return kind, 1, None
        with Image.open(file) as image:
            kind = "JPEG" if image.format == "MPO" else image.format  # of several, the first is read
            return kind, exif_orientation(image), image.size
    except Exception:  # Pillow fails in many ways; what does not decode is told of where it is met
        # Of more channels than Pillow has modes for it is a TIFF all the same.
        return kind if kind == "TIFF" else OTHER, 1, None


def _format(file):
    """Returns the format that a file begins as, see `format_of`."""
    with open(file, "rb") if isinstance(file, bytes) else contextlib.nullcontext(file) as stream:
        head = stream.read(HEAD)
        stream.seek(0)
    return format_of(head)


def _percent(n, of):
    share = 100 * n / of
    return "< 1 %" if 0 < share < 0.5 else f"{share:.0f} %"
