"""Both views of every pair: their own crop, their own colours, on every path of the pipeline."""

import numpy as np
import pytest
import tensorflow as tf

from mocotf.data import pretraining
from mocotf.data.bad_images import BadImages
from mocotf.data.sources.base import Order
from mocotf.data.sources.folder import Folder
from mocotf.data.sources.patches import Patches
from mocotf.data.views import augmentations
from mocotf.data.views import crop
from mocotf.data.views.decode import decode
from mocotf.data.views.tensorflow_ops import augment
from mocotf.data.views.tensorflow_ops import view_draws
from tests.data.support import write_colours

BATCH = 4
PATHS = [
    ("patches", False, "numba", augmentations.v2),
    ("patches", True, "numba", augmentations.v1),
    ("folder", False, "numba", augmentations.v1),
    ("folder", False, "tensorflow", augmentations.v2),
    ("folder", True, "numba", augmentations.v2),
    ("folder", True, "tensorflow", augmentations.v1),
]


def crops_of(source, handle, draws, augmentation):
    """Returns both crops of an image, `[2, S, S, 3]` in 0…255, of the whole image."""
    image = source.load(handle) if source.shape else decode(source.load(handle))
    windows = crop.sample_window(draws, *image.shape[:2], augmentation.min_area)
    cuts = [image[t : t + h, x : x + w] for t, x, h, w in np.stack(windows, axis=1)]
    return tf.stack([tf.image.resize(cut, [augmentation.size] * 2, antialias=True) for cut in cuts])


@pytest.mark.parametrize(("name", "crops_only", "ops", "make"), PATHS)
def test_each_view_is_cropped_and_coloured_by_its_own_draws(tmp_path, name, crops_only, ops, make):
    write_colours(str(tmp_path), 9, suffixes=("png", "bmp"))  # the same where part of it is decoded
    source = Patches() if name == "patches" else Folder(str(tmp_path))
    augmentation = make(size=24)
    order = Order(5, BATCH, source.steps_per_epoch(BATCH))
    pairs = pretraining.random_views(
        source, augmentation, order, bad_images=BadImages(), crops_only=crops_only, ops=ops
    )
    if crops_only:
        pairs = pairs.map(lambda *batch: pretraining.augment_crops(augmentation)(*batch))
    made = np.concatenate([np.stack(pair, axis=1) for pair in pairs.take(2)])
    drawn = [(view_draws(5, key), handle) for key, handle in source.draw(order).take(2 * BATCH)]
    crops = np.concatenate([crops_of(source, handle, draws, augmentation) for draws, handle in drawn])
    draws = np.concatenate([draws for draws, _ in drawn])
    # Operator by operator: XLA, which the pipeline has, would take seconds to compile them.
    expected = augment.python_function(np.rint(crops) if crops_only else crops, draws, augmentation)
    # Where rounding to bytes goes the other way, hue and saturation enlarge it.
    difference = np.abs(made - np.reshape(expected, made.shape))
    assert difference.max() <= (0.1 if crops_only else 1e-3)
    assert difference.mean((2, 3, 4)).max() <= (1e-3 if crops_only else 1e-4)
