"""Both views of every pair: their own crop, their own colours, on every path of the pipeline."""

import numpy as np
import pytest

from mocotf.data import crop
from mocotf.data import pipeline
from mocotf.data import recipe
from mocotf.data.decode import BadImages
from mocotf.data.decode import random_crops
from mocotf.data.folder import Folder
from mocotf.data.patches import Patches
from mocotf.data.views import augment
from mocotf.data.views import view_draws
from tests.data.support import write_colours

BATCH = 4


def crops_of(source, handle, draws, augmentation):
    """Returns both crops of an image, `[2, S, S, 3]` in [0, 1]."""
    image = source.load(handle)
    if not source.shape:
        return random_crops(image, draws, augmentation.size, augmentation.min_area)
    windows = crop.sample_window(draws, *source.shape, augmentation.min_area)
    return crop.crop_and_resize(np.stack([image, image]), windows, augmentation.size) / 255


@pytest.mark.parametrize("make", [recipe.v1, recipe.v2])
@pytest.mark.parametrize(
    ("name", "size"),
    [("patches", 16), ("folder", 16), ("folder", pipeline.BATCHED_UP_TO + 8)],
)
def test_each_view_is_cropped_and_coloured_by_its_own_draws(tmp_path, name, size, make):
    write_colours(str(tmp_path), 9)
    source = Patches() if name == "patches" else Folder(str(tmp_path))
    augmentation = make(size=size)
    pairs = pipeline.two_crops(source, augmentation, batch_size=BATCH, seed=5, bad_images=BadImages())
    per_epoch = source.size // BATCH * BATCH
    drawn = list(source.draw(5, 0, per_epoch).take(2 * BATCH))
    for step, pair in enumerate(pairs.take(2)):
        for i, (number, handle) in enumerate(drawn[step * BATCH : (step + 1) * BATCH]):
            draws = view_draws(5, number)
            expected = augment(crops_of(source, handle, draws, augmentation), draws, augmentation)
            for v in range(2):
                np.testing.assert_allclose(pair[v][i], expected[v], atol=1e-3)
