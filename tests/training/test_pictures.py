"""What pictures show of views: RGB as it is, of other channels those that were chosen."""

import numpy as np
import pytest

from mocotf.data.views.augmentations import Augmentation
from mocotf.training.pictures import levels
from mocotf.training.pictures import view_grid


def test_rgb_is_shown_as_it_is():
    view = Augmentation(size=8, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
    normal = ((pixels / 255 - view.mean) / view.std).astype(np.float32)
    np.testing.assert_array_equal(levels(normal, view), pixels)


@pytest.mark.parametrize(
    ("channels", "asked", "places"),
    [
        (5, None, [0, 1, 2]), (5, (5, 2, 1), [4, 1, 0]), (5, (4,), [3, 3, 3]),
        (2, None, [0, 0, 0]), (1, None, [0, 0, 0]), (3, None, [0, 1, 2]),
    ],
)  # fmt: skip
def test_chosen_channels_are_stretched_by_their_own_mean_and_std(channels, asked, places):
    mean, std = 1e4 * np.arange(1, channels + 1), 100.0 * np.arange(1, channels + 1)
    view = Augmentation(size=8, channels=channels, mean=mean, std=std, show_channels=asked)
    rng = np.random.default_rng(0)
    normal = rng.uniform(-3, 3, (2, 8, 8, channels)).astype(np.float32)
    low, high = mean - 2 * std, mean + 2 * std
    stretched = ((normal * std + mean - low) / (high - low)).clip(0, 1)[..., places]
    np.testing.assert_allclose(levels(normal, view), 255 * stretched, atol=1)
    grid = view_grid((normal, normal), view)
    gutter = 5  # around each pair
    assert grid.shape == (gutter + 2 * 64 + gutter, gutter + 2 * (64 + gutter), 3)
    pairs = grid[gutter : gutter + 128].numpy()
    assert (pairs[:, gutter + 64 : gutter + 64 + gutter] == 1).all(), "pairs are apart"
    both = np.concatenate([stretched[0], stretched[0]])
    np.testing.assert_allclose(pairs[::8, gutter : gutter + 64 : 8], both, atol=1e-6)
