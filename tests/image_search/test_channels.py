"""Vectors of image files that are no RGB, and what the page of answers shows of them."""

import base64
import io
import re

import numpy as np
import pytest
import tensorflow as tf
import tifffile
from PIL import Image

import mocotf
from mocotf import embed
from mocotf.errors import UserError
from mocotf.image_search.index import read_index
from mocotf.interop import keras_file
from mocotf.moco.saved_run import open_run
from tests.commands import set_flags
from tests.processes import succeed
from tests.saved_run import write_run

MEAN, STD = np.array([400.0, 3000, 20000, 50000]), np.array([100.0, 500, 4000, 3000])
BRIGHT = 2  # channel in which the query's like is bright


def image(number):
    """Returns an image of the encoder's size, uint16, bright in the channel of its number."""
    pixels = np.random.default_rng(number).normal(-1, 0.1, (16, 16, 4))
    pixels[..., number % 4] += 2
    return (pixels * STD + MEAN).astype(np.uint16)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Returns a folder with a run of four channels, shown as 4,3,2, and files of three formats."""
    place = tmp_path_factory.mktemp("place")
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
    return place


def test_files_of_all_bits_become_the_vectors_of_their_values(place, caplog):
    encoder = mocotf.load_encoder(place / "run")
    names, vectors = mocotf.embed_folder(encoder, place / "files", "features", batch_size=4)
    numbers = [int(name.partition(".")[0]) for name in names]
    assert sorted(numbers) == [0, 1, 2, 4, 5, 6, 8, 9, 10] and "rgb.png: it does not" in caplog.text
    pixels = np.stack([image(number) for number in numbers]).astype(np.float32)
    np.testing.assert_allclose(vectors, encoder(pixels)["features"], rtol=1e-4, atol=1e-5)


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


def thumbnails(page):
    """Returns the mean colours of the pictures on a page."""
    encoded = re.findall('data:image/jpeg;base64,([^"]*)', page.read_text())
    pictures = [Image.open(io.BytesIO(base64.b64decode(text))) for text in encoded]
    return [np.asarray(picture).mean(axis=(0, 1)).round() for picture in pictures]


def make_index(path, model, files, *options):
    """Has `mocotf.embed` write an index; returns what it says of itself."""
    set_flags(f"--model_dir={model}", f"--data_dir={files}", f"--out={path}", *options)
    embed.main()
    return read_index(str(path)).about


def test_an_index_of_them_is_asked_and_shown_in_the_chosen_channels(place, tmp_path):
    index, page = tmp_path / "v.npz", tmp_path / "found.html"
    about = make_index(index, place / "run", place / "files")
    assert (about["channels"], about["bad_images"]) == (4, ["rgb.png"])
    query = place / "files" / f"{BRIGHT}.tif"
    asked = succeed("search", f"--index={index}", "--k=2", f"--html={page}", "--json", query)
    (result,) = asked.json["results"]
    assert sorted(name for name, _ in result["found"]) == ["10.png", "6.npy"]
    # One std above the mean in one channel, below in the others: of 4,3,2 it is green.
    np.testing.assert_allclose(thumbnails(page), [[64, 191, 64]] * 3, atol=4)


def test_of_a_keras_file_an_index_says_the_channels_that_it_takes(place, tmp_path):
    for name, options, channels in (("run", (), 4), ("three", ("--channels=3",), 3)):
        if name == "three":
            write_run(tmp_path / name, channels="3", mean="9,9,9", std="9,9,9")
        run = place / "run" if name == "run" else tmp_path / name
        model = tmp_path / f"{name}.keras"
        keras_file.from_run(open_run(str(run))).save(model)
        about = make_index(tmp_path / f"{name}.npz", model, place / "files", *options)
        assert about["channels"] == channels and "show_channels" not in about
        assert ("rgb.png" in about["bad_images"]) == (channels == 4)


def test_a_run_says_its_channels_itself(place):
    set_flags(f"--model_dir={place / 'run'}", "--channels=4", "--data_dir=x", "--out=y.npz")
    with pytest.raises(UserError, match="--channels=4 does nothing with a run"):
        embed.main()
