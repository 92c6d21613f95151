"""Vectors of image files that are not RGB."""

import numpy as np
import pytest
import tensorflow as tf
import tifffile
from PIL import Image

import mocotf
from mocotf.errors import UserError
from tests.saved_run import write_run

MEAN, STD = np.array([400.0, 3000, 20000, 50000]), np.array([100.0, 500, 4000, 3000])


def image(number):
    """Returns an image of the encoder's size, uint16, bright in the channel of its number."""
    pixels = np.random.default_rng(number).normal(-1, 0.1, (16, 16, 4))
    pixels[..., number % 4] += 2
    return (pixels * STD + MEAN).astype(np.uint16)


def write_place(place):
    """Writes a run of four channels, shown as 4,3,2, and files of three formats to a folder."""
    numbers = {
        n: ",".join(map(str, values)) for n, values in zip(("mean", "std"), (MEAN, STD), strict=True)
    }
    write_run(place / "run", channels="4", show_channels="4,3,2", width="1.0", **numbers)
    (place / "files").mkdir()
    for i in range(3):
        tifffile.imwrite(place / "files" / f"{i}.tif", image(i), photometric="minisblack")
        np.save(place / "files" / f"{4 + i}.npy", image(4 + i))
        (place / "files" / f"{8 + i}.png").write_bytes(tf.io.encode_png(image(8 + i)).numpy())
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(place / "files" / "rgb.png")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("place")
    write_place(place)
    return place


def test_files_of_all_bits_become_the_vectors_of_their_values(place, caplog):
    encoder = mocotf.load_encoder(place / "run")
    names, vectors = mocotf.embed_folder(encoder, place / "files", "features", batch_size=4)
    numbers = [int(name.partition(".")[0]) for name in names]
    assert sorted(numbers) == [0, 1, 2, 4, 5, 6, 8, 9, 10] and "rgb.png: it does not" in caplog.text
    pixels = np.stack([image(number) for number in numbers]).astype(np.float32)
    np.testing.assert_allclose(vectors, encoder(pixels)["features"], rtol=1e-4, atol=1e-5)


def test_files_of_other_channels_are_told(place, tmp_path):
    np.save(tmp_path / "a.npy", np.ones([16, 16, 3]))
    with pytest.raises(UserError, match="no image decodes; expected JPEG, .*, of 4 channels"):
        mocotf.embed_folder(mocotf.load_encoder(place / "run"), tmp_path)


def test_three_channels_are_rgb_unless_they_are_said_not_to_be(tmp_path):
    write_run(tmp_path / "run", channels="3", mean="900,900,900", std="90,90,90")
    (tmp_path / "files").mkdir()
    pixels = np.random.default_rng(0).integers(600, 1200, (16, 16, 3)).astype(np.uint16)
    (tmp_path / "files" / "a.png").write_bytes(tf.io.encode_png(pixels).numpy())
    encoder = mocotf.load_encoder(tmp_path / "run")
    expected = encoder(pixels[None].astype(np.float32))["embedding"]
    _, vectors = mocotf.embed_folder(encoder, tmp_path / "files", channels=3)
    np.testing.assert_allclose(vectors, expected, rtol=1e-4, atol=1e-5)
    _, vectors = mocotf.embed_folder(encoder, tmp_path / "files")
    assert not np.allclose(vectors, expected, atol=1e-2)
