"""DICOM files for tests; imported only where pydicom is there."""

import io

from pydicom.dataset import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.uid import SecondaryCaptureImageStorage

WINDOW = {"WindowCenter": 40, "WindowWidth": 400, "RescaleSlope": 2, "RescaleIntercept": -100}


def dicom(array, kind="MONOCHROME2", syntax=ExplicitVRLittleEndian, rle=None, **tags):
    """Returns the bytes of a file of an image `[h, w]`, `[h, w, 3]`, or frames `[n, h, w]`."""
    file, colour = Dataset(), kind in ("RGB", "YBR_FULL")
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = syntax
    file.SOPClassUID = file.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    file.PhotometricInterpretation, file.SamplesPerPixel = kind, 3 if colour else 1
    if colour:
        file.PlanarConfiguration = 0
    file.Rows, file.Columns = array.shape[:2] if colour else array.shape[-2:]
    file.BitsAllocated = file.BitsStored = 8 * array.itemsize
    file.HighBit, file.PixelRepresentation = file.BitsStored - 1, int(array.dtype.kind == "i")
    file.PixelData = array.tobytes()
    for name, value in tags.items():
        setattr(file, name, value)
    if rle:
        file.compress(rle)
    content = io.BytesIO()
    file.save_as(content, enforce_file_format=True)
    return content.getvalue()
