"""What is written for TensorBoard's embedding projector."""

import types

import numpy as np
from google.protobuf import text_format
from PIL import Image
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

from mocotf.evaluation.projector import sprites
from mocotf.evaluation.projector import write_projector


def album(labels):
    n = len(labels)
    pictures = np.full((n, 8, 6, 3), 50 * np.arange(n)[:, None, None, None], np.uint8)
    features = 100 * np.random.default_rng(0).normal(size=(n, 16))
    return types.SimpleNamespace(queries=(pictures, features, np.array(labels)))


def written(folder, *arguments):
    """Writes a projector to a folder, and returns what its file says of it."""
    write_projector(types.SimpleNamespace(file=lambda name: str(folder / name)), *arguments)
    config = (folder / "projector_config.pbtxt").read_text()
    (found,) = text_format.Parse(config, ProjectorConfig()).embeddings
    return found


def test_features_labels_and_sprites_are_of_the_same_images(tmp_path):
    seen = album([0, 2, 1, 2, 0])
    found = written(tmp_path, seen, ("cat", "a\tdog", "cow"))
    features = np.loadtxt(tmp_path / found.tensor_path, delimiter="\t")
    unit = seen.queries[1] / np.linalg.norm(seen.queries[1], axis=1, keepdims=True)
    np.testing.assert_allclose(features, unit, rtol=1e-3)
    assert list(found.tensor_shape) == [5, 16]
    # One column has no header.
    assert (tmp_path / found.metadata_path).read_text() == "cat\ncow\na dog\ncow\ncat\n"
    assert list(found.sprite.single_image_dim) == [6, 8]  # width, height
    with Image.open(tmp_path / found.sprite.image_path) as sheet:
        assert sheet.size == (3 * 6, 3 * 8) and sheet.mode == "RGB"


def test_sprites_are_laid_row_by_row_in_a_square():
    pictures = album(range(5)).queries[0]
    sheet = sprites(pictures)
    assert sheet.shape == (3 * 8, 3 * 6, 3)
    for i, picture in enumerate(pictures):
        row, column = divmod(i, 3)
        np.testing.assert_array_equal(sheet[8 * row :, 6 * column :][:8, :6], picture)
    assert not sheet[16:].any() and not sheet[8:, 12:].any()


def test_classes_without_names_are_numbers_and_images_without_labels_have_none(tmp_path):
    assert (tmp_path / written(tmp_path, album([3, 0])).metadata_path).read_text() == "3\n0\n"
    bare = written(tmp_path, album([-1, -1, -1]))
    assert bare.metadata_path == "" and list(bare.tensor_shape) == [3, 16]
