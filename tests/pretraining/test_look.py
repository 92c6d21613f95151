"""What is found in a look at pictures, and the collections that there is nothing to learn from."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mocotf.data.sources.folder import Folder
from mocotf.data.sources.patches import Patches
from mocotf.errors import UserError
from mocotf.pretraining.look import look


@pytest.fixture(scope="module")
def strategy():
    return tf.distribute.OneDeviceStrategy("CPU:0")


def folder_of(folder, pictures):
    folder.mkdir(exist_ok=True)
    for number, pixels in enumerate(pictures):
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    return Folder(str(folder))


def noise(*shape, pictures=5):
    return np.random.default_rng(0).integers(0, 255, [pictures, *shape])


def test_sides_colours_and_classes_are_found(tmp_path, strategy):
    found = look(folder_of(tmp_path / "wide", noise(20, 50, 3)), strategy)
    assert (found.pictures, found.side, found.classes, found.gray) == (5, 20, 0, False)
    assert look(folder_of(tmp_path / "gray", noise(30, 20)), strategy).gray
    found = look(Patches(), strategy)
    assert (found.pictures, found.side, found.classes, found.accelerator) == (6400, 32, 14, False)


def test_what_cannot_be_learned_from_is_refused(tmp_path, strategy):
    flat = np.broadcast_to(noise(1, 1, 3), [5, 20, 20, 3])
    same = np.broadcast_to(noise(20, 20, 3, pictures=1), [5, 20, 20, 3])
    for name, pictures, message in (
        ("flat", flat, "5 of the 5 pictures .* each is of one colour only"),
        ("same", same, "all are the same picture; .* python -m mocotf.check_data"),
    ):
        with pytest.raises(UserError, match=message):
            look(folder_of(tmp_path / name, pictures), strategy)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "a.png").write_bytes(b"nothing")
    with pytest.raises(UserError, match="none of the pictures looked at decodes"):
        look(Folder(str(broken)), strategy)


def test_one_that_does_not_decode_is_no_reason_to_end(tmp_path, strategy):
    folder_of(tmp_path / "some", noise(20, 20, 3))
    (tmp_path / "some" / "z.png").write_bytes(b"nothing")
    assert look(Folder(str(tmp_path / "some")), strategy).pictures == 6
