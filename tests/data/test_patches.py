"""The embedded photographs' patches: counts, balance, and that no test pixel is trained on."""

import numpy as np
import pytest
import tensorflow as tf

from mocotf.data.sources import patches
from mocotf.data.sources.base import Order
from mocotf.data.sources.patches import Patches
from mocotf.errors import UserError


@pytest.fixture(scope="module")
def source():
    return Patches(seed=0)


def part(source, name):
    """Returns (patches, labels) of an evaluation part."""
    rows = source.evaluation(name).map(lambda handle, label: (source.load(handle), label))
    return next(rows.batch(10_000).as_numpy_iterator())


def test_counts_and_shapes_and_fourteen_balanced_classes(source):
    assert (source.name, source.size, source.shape) == ("patches", 6400, (32, 32))
    assert source.evaluation_sizes == (6400, 840)
    assert len(source.class_names) == 14 and source.class_names[0] == "astronaut"
    for name, count, of_a_class in (("bank", 6400, {457, 458}), ("queries", 840, {60})):
        images, labels = part(source, name)
        assert images.shape == (count, 32, 32, 3) and images.dtype == np.uint8
        assert labels.shape == (count,)
        counts = np.bincount(labels)
        assert len(counts) == 14 and set(counts) == of_a_class


def test_training_draws_the_bank_only(source):
    _, handles = next(iter(source.draw(Order(0, 6400, 1)).batch(6400)))
    assert sorted(handles.numpy()) == list(range(6400))


def test_the_seed_decides(source):
    images, labels = part(source, "queries")
    again, _ = part(Patches(seed=0), "queries")
    np.testing.assert_array_equal(again, images)
    other, other_labels = part(Patches(seed=1), "queries")
    np.testing.assert_array_equal(other_labels, labels)
    assert np.mean(np.all(other == images, axis=(1, 2, 3))) < 0.01


def test_describe_names_the_patch(source):
    assert b"17" in source.describe(tf.constant(17)).numpy()


def numbered_tiles(name):
    """A photograph whose every 100-pixel tile has one colour, no two the same."""
    label = patches.PHOTOGRAPHS.index(name)
    rows, columns = np.indices((400, 612)) // patches.TILE  # a remainder that makes no tile
    return np.stack([rows, columns, np.full_like(rows, label)], axis=-1).astype(np.uint8)


def test_training_and_test_tiles_are_disjoint(monkeypatch):
    monkeypatch.setattr(patches, "photograph", numbered_tiles)
    source = Patches(seed=5)
    tiles = {}
    for name in ("bank", "queries"):
        images, labels = part(source, name)
        assert np.all(images == images[:, :1, :1])  # no patch sees two tiles
        np.testing.assert_array_equal(images[:, 0, 0, 2], labels)
        tiles[name] = {tuple(int(c) for c in image[0, 0]) for image in images}
    assert not tiles["bank"] & tiles["queries"]
    every = {(r, c, label) for r in range(4) for c in range(6) for label in range(14)}
    assert tiles["bank"] | tiles["queries"] == every
    assert len(tiles["queries"]) == 14 * (24 // 5)  # a fifth


def test_a_patch_is_a_window_halved():
    rng = np.random.default_rng(0)
    tile = rng.integers(0, 256, (100, 100, 3)).astype(np.uint8)
    squares = np.lib.stride_tricks.sliding_window_view(tile.astype(float), (2, 2), (0, 1))
    windows = squares.mean((-2, -1))
    for patch in patches._cut([tile], 5, rng):
        found = [
            np.abs(windows[top : top + 64 : 2, left : left + 64 : 2] - patch).max() <= 0.5
            for top in range(37)
            for left in range(37)
        ]
        assert sum(found) == 1


def test_small_sides_are_scaled_to_400():
    for name in ("astronaut.png", "coffee.png", "rocket.jpg"):
        image = patches.photograph(name)
        assert min(image.shape[:2]) == 400 and image.dtype == np.uint8 and image.shape[2] == 3


def test_a_missing_photograph_is_an_error_with_a_way_out():
    with pytest.raises(UserError, match=r"no_such\.png is not in the installed scikit-image"):
        patches.photograph("no_such.png")
