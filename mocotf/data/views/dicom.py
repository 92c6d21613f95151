"""DICOM by pydicom, of the extra `dicom`: one frame, gray as its window shows it, or colour.

Compressed pixels are read as far as what is installed does: RLE, and by Pillow JPEG and JPEG 2000; the
rest by pylibjpeg or GDCM, if they are there.
"""

import io

import numpy as np
import pydicom
from pydicom.pixels import apply_color_lut
from pydicom.pixels import apply_modality_lut
from pydicom.pixels import pixel_array

from mocotf.data.views.levels import stretched
from mocotf.data.views.levels import to_levels

RESCALED = 8  # bytes of a value that was rescaled


def pixels_of(file):
    """Returns uint8 RGB `[h, w, 3]` of an `opened` file."""
    values = pixel_array(file)  # YCbCr as RGB
    if file.PhotometricInterpretation == "PALETTE COLOR":
        values = apply_color_lut(values, file)
    if values.ndim == 3:
        return to_levels(values)
    levels = stretched(*_windowed(apply_modality_lut(values, file), file))
    inverted = file.PhotometricInterpretation == "MONOCHROME1"
    return np.repeat((255 - levels if inverted else levels)[..., None], 3, axis=-1)


def values_of(file):
    """Returns what an `opened` file measures, rescaled as it says, `[h, w]` or `[h, w, samples]`."""
    values = pixel_array(file)
    return values if values.ndim == 3 else apply_modality_lut(values, file)


def opened(content):
    """Returns pydicom's data set of the bytes of a DICOM file; fails where it has not one frame."""
    file = pydicom.dcmread(io.BytesIO(content))
    frames = int(file.get("NumberOfFrames") or 1) if "PixelData" in file else 0
    if frames != 1:
        raise ValueError(f"DICOM of {frames} frames; expected one")
    return file


def _windowed(values, file):
    """Returns (values, what is black, what is white) by the first window, or else all there is."""
    found = [file.get(f"Window{name}") for name in ("Center", "Width")]
    centre, width = (np.ravel([] if value is None else value)[:1] for value in found)
    if not (centre.size and width.size):
        return values, float(values.min()), float(values.max())
    half = (float(width[0]) - 1) / 2  # from the middle of the first level to that of the last
    middle = float(centre[0]) - 0.5
    return values, middle - half, middle + half
