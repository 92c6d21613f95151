"""Images of other channels than RGB: read with all their bits, and augmented as NumPy says."""

import io
import sys

import numpy as np
import pytest
import tensorflow as tf
import tifffile
from PIL import Image

from mocotf.data.bad_images import BadImages
from mocotf.data.pretraining import centre_views
from mocotf.data.pretraining import random_views
from mocotf.data.settings import ViewSettings
from mocotf.data.sources.base import Order
from mocotf.data.sources.folder import Folder
from mocotf.data.views import augmentations
from mocotf.data.views import crop
from mocotf.data.views.channels import decode_channels
from mocotf.data.views.channels import values_of
from mocotf.data.views.tensorflow_ops import augment
from mocotf.data.views.tensorflow_ops import view_draws
from mocotf.errors import UserError
from tests.data.support import assert_same_distribution
from tests.data.support import many_draws
from tests.data.support import uniform
from tests.oracles import pillow_ops

RNG = np.random.default_rng(0)
BANDS = RNG.integers(0, 65536, [30, 40, 13]).astype(np.uint16)
TWELVE = RNG.integers(0, 4096, [30, 40, 4]).astype(np.uint16)
EIGHT = (TWELVE >> 4).astype(np.uint8)
KELVIN = RNG.normal(280, 20, [30, 40, 2]).astype(np.float32)
MEAN, STD = tuple(BANDS.mean((0, 1))), tuple(BANDS.std((0, 1)))


def tiff(values, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, values, photometric="minisblack", **options)
    return file.getvalue()


def npy(values):
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def pillow(values, kind):
    file = io.BytesIO()
    Image.fromarray(values).save(file, kind)
    return file.getvalue()


def png(values):
    return tf.io.encode_png(values).numpy()


FIRST = np.moveaxis(BANDS, -1, 0)
FILES = {
    "TIFF, channels last": (tiff(BANDS, planarconfig="contig"), BANDS),
    "TIFF, a plane a channel": (tiff(FIRST, planarconfig="separate"), BANDS),
    "TIFF, a page a channel": (tiff(FIRST), BANDS),
    "TIFF, deflate": (tiff(BANDS, planarconfig="contig", compression="zlib"), BANDS),
    "TIFF, LZW": (tiff(BANDS, planarconfig="contig", compression="lzw"), BANDS),
    "TIFF, one channel": (tiff(TWELVE[..., 0]), TWELVE[..., :1]),
    "TIFF, floats": (tiff(KELVIN, planarconfig="contig"), KELVIN),
    "npy, channels last": (npy(BANDS), BANDS),
    "npy, channels first": (npy(FIRST), BANDS),
    "npy, gray": (npy(KELVIN[..., 0]), KELVIN[..., :1]),
    "npy, signed": (npy(TWELVE.astype(np.int16) - 2000), TWELVE.astype(np.int16) - 2000),
    **{f"PNG, 12 bits, {n}": (png(TWELVE[..., :n]), TWELVE[..., :n]) for n in (1, 2, 3, 4)},
    **{f"PNG, 8 bits, {n}": (png(EIGHT[..., :n]), EIGHT[..., :n]) for n in (1, 3)},
    "PGM, 16 bits": (pillow(TWELVE[..., 0], "PPM"), TWELVE[..., :1]),
}  # fmt: skip
INFINITE = KELVIN.copy()
INFINITE[3, 4, 1] = np.inf
BAD = {
    "other channels": (npy(BANDS), 4),
    "a PNG's other channels": (png(TWELVE), 3),
    "a NaN": (npy(np.where(KELVIN > 300, np.nan, KELVIN)), 2),
    "an infinite value": (tiff(INFINITE, planarconfig="contig"), 2),
    "texts": (npy(np.full([4, 4, 2], "x")), 2),
    "objects": (npy(np.full([4, 4, 2], None)), 2),
    "complex numbers": (npy(KELVIN.astype(complex)), 2),
    "a video": (npy(np.zeros([2, 30, 40, 2], np.uint8)), 2),
    "an array cut short": (npy(BANDS)[:5000], 13),
    "an array of more than there is": (npy(BANDS).replace(b"(30, 40, 13)", b"(30, 40000, 13)"), 13),
    "a TIFF cut short": (tiff(BANDS)[:5000], 13),
    "a palette": (pillow(TWELVE[..., :3].astype(np.uint8), "GIF"), 1),
    "no image": (b"no image", 3),
}


@pytest.mark.parametrize("name", FILES)
def test_values_are_those_of_the_file(name):
    content, values = FILES[name]
    decoded = decode_channels(tf.constant(content), values.shape[-1])
    np.testing.assert_array_equal(decoded, values.astype(np.float32))
    np.testing.assert_array_equal(values_of(content, values.shape[-1]), values)


@pytest.mark.parametrize("name", BAD)
def test_what_has_not_these_channels_or_no_finite_values_is_refused(name):
    content, channels = BAD[name]
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode_channels(tf.constant(content), channels)
    with pytest.raises(Exception, match=r"\w"):
        values_of(content, channels)


def of_channels(**changes):
    return augmentations.v2(size=16, mean=MEAN, std=STD, channels=13, gray_prob=0, **changes)


def oracle_view(image, draw, augmentation):
    image = image.astype(np.float64)
    if draw[augmentations.JITTER] < augmentation.jitter_prob:
        brightness, contrast = 1 + (2 * draw[augmentations.FACTORS][:2] - 1) * augmentation.jitter[:2]
        image = image * brightness
        image = contrast * image + (1 - contrast) * image.mean((0, 1))
    if draw[augmentations.BLUR] < augmentation.blur_prob:
        image = pillow_ops.blur(image, 0.1 + 1.9 * draw[augmentations.SIGMA])
    if draw[augmentations.FLIP] < 0.5:
        image = image[:, ::-1]
    return (image - augmentation.mean) / augmentation.std


def test_views_are_the_operators_on_every_channel():
    draws, augmentation = many_draws().reshape(-1, augmentations.DRAWS)[:40], of_channels()
    images = np.repeat(BANDS[None, :16, :16], len(draws), axis=0)
    ours = augment(images, draws, augmentation)
    exact = np.stack(
        [oracle_view(image, *rest, augmentation) for image, *rest in zip(images, draws, strict=True)]
    )
    np.testing.assert_allclose(ours, exact, atol=1e-3)


def test_each_channel_has_factors_of_its_own_if_asked():
    draws = many_draws(500).reshape(-1, augmentations.DRAWS)
    still = {"blur_prob": 0.0, "jitter_prob": 1.0, "jitter": (0.4, 0.0, 0, 0)}
    images = np.full([len(draws), 16, 16, 13], 100.0, np.float32)
    plain = {"mean": (0.0,) * 13, "std": (1.0,) * 13, "size": 16, "channels": 13}
    for each in (False, True):
        augmentation = augmentations.Augmentation(**plain, **still, gray_prob=0, jitter_each=each)
        factors = augment(images, draws, augmentation).numpy()[:, 0, 0] / 100
        assert (np.ptp(factors, axis=1) > 0.1).mean() == each
        for channel in range(13):
            assert_same_distribution(factors[:, channel], uniform(0.6, 1.4))
    correlation = np.corrcoef(factors.T) - np.eye(13)
    assert np.abs(correlation).max() < 4.5 / np.sqrt(len(draws))


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """A folder of 12 images of 13 channels, of two sizes, and one that has a channel less."""
    folder = tmp_path_factory.mktemp("scenes")
    for place in ("a", "b"):
        (folder / place).mkdir()
        for i in range(6):
            write = tiff if i % 2 else npy
            image = np.roll(BANDS, 7 * i, axis=0)[: 30 - i % 2]
            (folder / place / f"{i}.{'tif' if i % 2 else 'npy'}").write_bytes(write(image))
    (folder / "b" / "6.npy").write_bytes(npy(BANDS[..., :12]))
    return folder


def test_a_folder_of_channels_is_cropped_as_it_is_drawn_and_evaluated_whole(scenes, tmp_path):
    source = Folder(str(scenes))
    bad = BadImages(tmp_path / "bad", source.size, 0.5, source.root)
    augmentation, order = of_channels(blur_prob=0.0, jitter=(0, 0, 0, 0)), Order(0, source.size, 1)
    views = next(iter(random_views(source, augmentation, order, bad_images=bad)))
    assert [view.shape for view in views] == [[source.size, 16, 16, 13]] * 2
    for place, (key, handle) in enumerate(source.draw(order).take(source.size)):
        try:
            image = decode_channels(source.load(handle), 13)
        except tf.errors.InvalidArgumentError:
            continue  # its place has the next good one
        draws = view_draws(0, key)
        for v in range(2):
            window = crop.sample_window(draws[v], *image.shape[:2], augmentation.min_area)
            top, left, height, width = map(int, window)
            part = image[top : top + height, left : left + width]
            exact = tf.image.resize(part, [16, 16], antialias=True)
            if draws[v, augmentations.FLIP] < 0.5:
                exact = exact[:, ::-1]
            np.testing.assert_allclose(views[v][place], (exact - MEAN) / STD, atol=1e-3)
    seen, labels = zip(*centre_views(source, source.evaluation("bank"), augmentation, bad), strict=True)
    assert sum(map(len, labels)) == source.evaluation_sizes[0] - 1  # without the one of 12 channels
    assert {tuple(images.shape[1:]) for images in seen} == {(16, 16, 13)}
    assert "6.npy" in (tmp_path / "bad").read_text()


GIVEN = {"channels": 4, "mean": (1.0,) * 4, "std": (2.0,) * 4}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mean": (1.0,) * 3}, "--mean=1,1,1: has 3 numbers; expected 4, one for each channel"),
        ({"channels": None, "std": (1.0,) * 3}, "--mean=1,1,1,1: has 4 numbers; expected 3"),
        ({"jitter": (0.4, 0.4, 0.4, 0.0)}, "--jitter=0.4,0.4,0.4,0 with --channels=4: saturation"),
        ({"augment_on": "device"}, "--augment_on=device with --channels=4: is for RGB only"),
        ({"data_service": "grpc://a:1"}, "--data_service=grpc://a:1 with --channels=4: is for RGB"),
        ({"channels": 17}, "--channels=17: expected a whole number from 1 to 16"),
    ],
)
def test_what_does_not_go_with_channels_is_refused_in_a_line(changes, message):
    with pytest.raises(UserError, match=message):
        ViewSettings.of(GIVEN | changes).check()
    ViewSettings.of(GIVEN).check()


def test_mean_and_std_have_to_be_measured():
    with pytest.raises(UserError, match="--mean and --std missing; python -m mocotf.check_data"):
        ViewSettings.of({"channels": 4}).check()
    with pytest.raises(UserError, match="--jitter_each does nothing without --channels"):
        ViewSettings.of({"jitter_each": True}).check()


def test_a_compression_that_wants_an_extra_is_told_with_what_installs_it(monkeypatch):
    content = tiff(BANDS, compression="zstd", planarconfig="contig")
    for module in [name for name in sys.modules if name.partition(".")[0] == "tifffile"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(UserError, match=r"imagecodecs is not installed; try: pip install '.*\[tiff\]'"):
        values_of(content, 13)
