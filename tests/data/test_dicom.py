"""DICOM: windows, as pydicom applies them; colours; what is compressed; what is no one frame."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mocotf.data.places.survey import look_into
from mocotf.data.views import other_formats
from mocotf.data.views.channels import decode_channels
from mocotf.data.views.channels import values_of
from mocotf.data.views.decode import decode
from mocotf.data.views.formats import format_of

pydicom = pytest.importorskip("pydicom")

from pydicom import pixels  # noqa: E402
from pydicom import uid  # noqa: E402
from pydicom.encaps import encapsulate  # noqa: E402

from tests.data.dicom_files import WINDOW  # noqa: E402
from tests.data.dicom_files import dicom  # noqa: E402

RAMP = np.arange(-600, 600, dtype=np.int16).reshape(30, 40)
NOISE = np.random.default_rng(0).integers(0, 256, (30, 40, 3)).astype(np.uint8)
GRAY = NOISE[..., 0].copy()


def as_pydicom(content):
    """Returns what pydicom makes of a picture with a window, as a share of its range, × 255."""
    file = pydicom.dcmread(io.BytesIO(content))
    values = pixels.apply_windowing(pixels.apply_modality_lut(file.pixel_array, file), file)
    return 255 * (values - values.min()) / np.ptp(values)


@pytest.mark.parametrize("tags", [WINDOW, {"WindowCenter": [0, 7], "WindowWidth": [300, 2]}])
def test_the_first_window_decides(tags):
    content = dicom(RAMP, **tags)
    levels = decode(content).numpy()
    assert levels.shape == (30, 40, 3) and np.ptp(levels, axis=-1).max() == 0
    np.testing.assert_allclose(levels[..., 0], as_pydicom(content), atol=0.51)
    inverted = decode(dicom(RAMP, "MONOCHROME1", **tags))
    np.testing.assert_array_equal(inverted, 255 - levels)


NO_WINDOW = {"WindowCenter": None, "WindowWidth": None}  # the elements are there, without a value


@pytest.mark.parametrize("tags", [{}, NO_WINDOW, {"RescaleSlope": -0.5, "RescaleIntercept": 3}])
def test_without_a_window_all_there_is_is_seen(tags):
    levels = decode(dicom(RAMP, **tags)).numpy()[..., 0].astype(int)
    expected = np.linspace(0, 255, RAMP.size).reshape(RAMP.shape)
    np.testing.assert_allclose(
        levels, 255 - expected if "RescaleSlope" in tags else expected, atol=0.51
    )


def test_a_window_of_one_level_is_a_threshold():
    levels = decode(dicom(RAMP, WindowCenter=0, WindowWidth=1)).numpy()
    assert set(np.unique(levels)) == {0, 255} and levels[RAMP < -1].max() == 0


def test_colours():
    np.testing.assert_array_equal(decode(dicom(NOISE, "RGB")), NOISE)
    np.testing.assert_array_equal(decode(dicom(NOISE, "RGB", rle=uid.RLELossless)), NOISE)
    stored = np.asarray(Image.fromarray(NOISE).convert("YCbCr"))
    assert np.abs(decode(dicom(stored, "YBR_FULL")).numpy() - NOISE.astype(float)).max() <= 3
    table = np.arange(256, dtype=np.uint16) * 257
    tables = {"Red": table, "Green": table[::-1], "Blue": table}
    tags = {}
    for name, values in tables.items():
        tags[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        tags[f"{name}PaletteColorLookupTableData"] = values.tobytes()
    expected = np.stack([GRAY, 255 - GRAY, GRAY], axis=-1)
    np.testing.assert_array_equal(decode(dicom(GRAY, "PALETTE COLOR", **tags)), expected)


@pytest.mark.parametrize(
    ("syntax", "kind", "options", "most"),
    [
        (uid.JPEGBaseline8Bit, "JPEG", {"quality": 100}, 2),
        (uid.JPEG2000Lossless, "JPEG2000", {"no_jp2": True}, 0),
    ],
)
def test_what_pillow_decompresses(syntax, kind, options, most):
    packed = io.BytesIO()
    Image.fromarray(GRAY).save(packed, kind, **options)
    whole = {"WindowCenter": 128, "WindowWidth": 256}  # as it is stored
    content = dicom(GRAY, syntax=syntax, PixelData=encapsulate([packed.getvalue()]), **whole)
    assert np.abs(decode(content).numpy()[..., 0] - GRAY.astype(float)).max() <= most


def refused(content):
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode(content)
    with pytest.raises(Exception) as error:
        other_formats.pixels_of(content)
    return str(error.value)


def test_what_is_not_one_frame_is_refused():
    frames = dicom(np.stack([GRAY, GRAY]), NumberOfFrames=2)
    assert refused(frames) == "DICOM of 2 frames; expected one"
    report = pydicom.dcmread(io.BytesIO(dicom(GRAY)))
    del report.PixelData
    content = io.BytesIO()
    report.save_as(content)
    assert refused(content.getvalue()) == "DICOM of 0 frames; expected one"
    unknown = dicom(GRAY, syntax=uid.JPEGLosslessSV1, PixelData=encapsulate([b"?" * 40]))
    assert "JPEG Lossless" in refused(unknown)
    for share in (0.2, 0.5, 0.99):
        refused(dicom(RAMP)[: int(len(dicom(RAMP)) * share)])
    with pytest.raises(ValueError, match="^40 x 30 pixels, which take .* --max_pixels=1000; try"):
        other_formats.pixels_of(dicom(RAMP), max_pixels=1000)


def test_it_is_told_by_its_content(tmp_path):
    content = dicom(RAMP)
    assert format_of(content) == "DICOM" and not format_of(content[1:])
    (tmp_path / "scan").write_bytes(content)
    assert look_into(bytes(tmp_path / "scan")) == look_into(io.BytesIO(content)) == ("DICOM", 1, None)


def test_of_one_channel_what_is_measured_is_kept_rescaled_and_without_a_window():
    decoded = decode_channels(tf.constant(dicom(RAMP, **WINDOW)), 1)
    np.testing.assert_array_equal(decoded[..., 0], 2.0 * RAMP - 100)
    np.testing.assert_array_equal(decode_channels(tf.constant(dicom(NOISE, "RGB")), 3), NOISE)
    with pytest.raises(ValueError, match="DICOM of 2 frames; expected one"):
        values_of(dicom(np.stack([RAMP, RAMP]), NumberOfFrames=2), 1)
