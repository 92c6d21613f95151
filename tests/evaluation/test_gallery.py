"""Neighbours: found among all of the bank, drawn beside their queries, framed by their class."""

import types

import numpy as np
import pytest
import tensorflow as tf

from mocotf.data.views.augmentations import Augmentation
from mocotf.evaluation import gallery
from mocotf.evaluation.album import KEPT
from mocotf.evaluation.album import SHOWN
from mocotf.evaluation.album import Album
from mocotf.evaluation.features import extract

VIEW = Augmentation(size=8, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))


def images(n, seed=0, size=8):
    """Random pictures, uint8 `[n, size, size, 3]`."""
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), np.uint8)


def views(pictures, labels):
    normal = (pictures.astype(np.float32) / 255 - VIEW.mean) / VIEW.std
    return tf.data.Dataset.from_tensor_slices((normal.astype(np.float32), labels)).batch(7)


def encode(x):
    return tf.reshape(x, [len(x), -1])[:, :20]


def filled(queries, query_labels, bank, bank_labels):
    """Returns an `Album` that has seen both, and the features of both."""
    album = Album(VIEW, len(queries))
    q, _ = extract(encode, views(queries, query_labels), album.see_queries)
    b, _ = extract(encode, views(bank, bank_labels), album.see_bank)
    return album, q, b


def test_the_nearest_of_the_whole_bank_are_found_a_batch_at_a_time():
    queries, bank = images(30), images(101, seed=1)
    labels, bank_labels = np.arange(30) % 3, np.arange(101) % 5
    album, q, b = filled(queries, labels, bank, bank_labels)
    rows = np.linspace(0, 29, SHOWN).astype(int)
    pictures, _, shown_labels = album.shown
    np.testing.assert_array_equal(pictures, queries[rows])
    np.testing.assert_array_equal(shown_labels, labels[rows])

    q, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (q[rows], b))
    expected = np.argsort(-q @ b.T, axis=1)[:, :8]
    similarities, found_labels, neighbours = album.nearest
    np.testing.assert_allclose(similarities, -np.sort(-q @ b.T, axis=1)[:, :8], rtol=1e-5)
    np.testing.assert_array_equal(found_labels, bank_labels[expected])
    np.testing.assert_array_equal(neighbours, bank[expected])


def test_of_many_queries_some_are_kept_evenly():
    queries = images(2 * KEPT + 3, size=2)
    album, q, _ = filled(queries, np.arange(len(queries)), images(9, seed=1, size=2), np.zeros(9, int))
    pictures, features, labels = album.queries
    assert KEPT / 2 < len(labels) <= KEPT and set(np.diff(labels)) == {3}
    np.testing.assert_array_equal(pictures, queries[labels])
    np.testing.assert_array_equal(features, q[labels])


def test_fewer_images_than_are_shown_are_all_shown():
    album, *_ = filled(images(2), np.array([0, 1]), images(3, seed=1), np.array([0, 1, 0]))
    assert album.shown[0].shape == (2, 8, 8, 3) and album.nearest[2].shape == (2, 3, 8, 8, 3)
    assert gallery.draw_gallery(album).ndim == 3


def test_large_images_are_kept_small_also_of_batches_that_add_none():
    queries, bank = images(KEPT + 2, size=100), images(40, size=100)
    bank[20:] = 255 - bank[:20]  # none of which is near a query
    album, *_ = filled(queries, np.zeros(KEPT + 2, int), bank, np.zeros(40, int))
    assert album.queries[0].shape == (KEPT // 2 + 1, 96, 96, 3)
    assert abs(float(album.queries[0].mean()) - queries.mean()) < 1
    assert album.nearest[2].shape == (SHOWN, 8, 96, 96, 3) and album.nearest[2].min() < 255


def test_of_other_channels_the_chosen_are_drawn():
    view = Augmentation(size=100, channels=5, mean=(9,) * 5, std=(2,) * 5, show_channels=(5, 2, 1))
    album, labels = Album(view, 3), np.arange(3)
    views = np.ones((3, 100, 100, 5), np.float32) * [-1, 0, 9, 9, 1]
    album.see_queries(views, np.eye(3, 4), labels)
    album.see_bank(views, np.eye(3, 4), labels)
    assert set(map(tuple, album.queries[0].reshape(-1, 3))) == {(191, 127, 63)}
    assert (
        album.nearest[2].shape == (3, 3, 96, 96, 3)
        and np.ptp(album.nearest[2], (0, 1, 2, 3)).max() == 0
    )


@pytest.mark.parametrize("label", [0, -1])
def test_frames_tell_right_from_wrong_and_neither_without_labels(label):
    shown = np.zeros((1, 64, 64, 3), np.uint8), None, np.array([label])
    nearest = None, np.array([[0, 3]]), np.full((1, 2, 64, 64, 3), 255, np.uint8)
    album = types.SimpleNamespace(shown=shown, nearest=nearest)
    picture = gallery.draw_gallery(album)
    row = picture[len(picture) // 2]
    frames = [colour for colour in map(tuple, row) if colour not in ((0,) * 3, (255,) * 3)]
    right, wrong = (gallery.RIGHT, gallery.WRONG) if label == 0 else (gallery.UNKNOWN,) * 2
    assert frames == [right] * 2 * gallery.FRAME + [wrong] * 2 * gallery.FRAME
    assert np.sum(row.max(axis=1) == 0) == 64, "the query is there, and has no frame"


def test_a_gallery_that_cannot_be_written_ends_no_run(tmp_path, caplog):
    album, *_ = filled(images(4), np.zeros(4, int), images(9), np.zeros(9, int))
    (tmp_path / "pictures").write_text("in the way")
    gallery.show(types.SimpleNamespace(file=lambda name: str(tmp_path / name)), 5, album)
    assert "pictures: cannot be written: File exists" in caplog.text
    assert "; step 5 has no gallery" in caplog.text
