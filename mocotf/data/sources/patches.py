"""The embedded data set: patches of the photographs in scikit-image's wheel.

Nothing is downloaded. The class of a patch is the photograph it was cut from; each photograph is
divided into square tiles, a fifth of which are held out, so that no test pixel is ever trained on.
"""

import os

import numpy as np
import tensorflow as tf
from PIL import Image

from mocotf import extras
from mocotf.data.sources.base import RandomAccessSource
from mocotf.data.sources.records import contents_of
from mocotf.errors import UserError

PHOTOGRAPHS = [
    "astronaut.png",
    "brick.png",
    "chelsea.png",
    "coffee.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "motorcycle_left.png",
    "retina.jpg",
    "page.png",
    "rocket.jpg",
    "camera.png",
]
SIDE = 400  # to which the small side of a photograph is scaled
TILE = 100
WINDOW = 64  # cut at random from a tile, then halved
PATCH = 32
TRAIN_PATCHES = 6400
TEST_PATCHES = 840


class Patches(RandomAccessSource):
    """6,400 training and 840 test patches, uint8 `[32, 32, 3]`, of 14 photographs.

    Args:
        seed: decides which tiles are held out and where patches are cut.

    Attributes:
        tiles: (training tiles, held-out tiles) of each photograph, uint8 `[100, 100, 3]` each.
    """

    name = "patches"
    shape = (PATCH, PATCH)
    class_names = tuple(os.path.splitext(name)[0] for name in PHOTOGRAPHS)

    def __init__(self, seed=0):
        rng = np.random.default_rng(seed)
        train, test, self.tiles = [], [], []
        for label, name in enumerate(PHOTOGRAPHS):
            share = np.diff(np.linspace(0, TRAIN_PATCHES, len(PHOTOGRAPHS) + 1).astype(int))[label]
            for_training, for_test = _split_tiles(photograph(name), rng)
            train.append(_cut(for_training, share, rng))
            test.append(_cut(for_test, TEST_PATCHES // len(PHOTOGRAPHS), rng))
            self.tiles.append((for_training, for_test))
        # The training patches come first; a handle is an index into all.
        self._images = tf.constant(np.concatenate(train + test))
        self._labels = np.repeat(np.tile(np.arange(len(train)), 2), [len(x) for x in train + test])
        self.size = TRAIN_PATCHES
        self.evaluation_sizes = (TRAIN_PATCHES, TEST_PATCHES)

    def contents(self):
        return contents_of([path_of(name) for name in PHOTOGRAPHS])

    def load(self, handle):
        return self._images[handle]

    def label(self, handle):
        return tf.gather(tf.constant(self._labels, tf.int64), handle)

    def describe(self, handle):
        return tf.strings.format("patch {}", handle)

    def evaluation(self, split):
        handles = np.arange(len(self._labels))
        chosen = handles < TRAIN_PATCHES if split == "bank" else handles >= TRAIN_PATCHES
        return tf.data.Dataset.from_tensor_slices(
            (handles[chosen].astype(np.int64), self._labels[chosen].astype(np.int64))
        )


def path_of(name):
    """Returns the path of a photograph in scikit-image.

    Raises:
        UserError: it is not there.
    """
    skimage = extras.require("skimage", "the photographs of --dataset=patches")
    path = os.path.join(os.path.dirname(skimage.__file__), "data", name)
    if not os.path.exists(path):
        raise UserError(
            f"--dataset=patches: {name} is not in the installed scikit-image {skimage.__version__}; "
            "expected a release that has it, such as 0.26.0"
        )
    return path


def photograph(name):
    """Returns a photograph, uint8 `[h, w, 3]`, its small side SIDE pixels."""
    with Image.open(path_of(name)) as image:
        image = image.convert("RGB")
        scale = SIDE / min(image.size)
        size = [max(SIDE, round(side * scale)) for side in image.size]
        return np.asarray(image.resize(size, Image.Resampling.BILINEAR, reducing_gap=None))


def _split_tiles(image, rng):
    """Returns (training tiles, held-out tiles), the latter a fifth, at random."""
    height, width = (side // TILE for side in image.shape[:2])
    tiles = [
        image[r * TILE : (r + 1) * TILE, c * TILE : (c + 1) * TILE]
        for r in range(height)
        for c in range(width)
    ]
    order = rng.permutation(len(tiles))
    held_out = max(1, len(tiles) // 5)
    return [tiles[i] for i in order[held_out:]], [tiles[i] for i in order[:held_out]]


def _cut(tiles, count, rng):
    """Cuts `count` windows, evenly over tiles, and halves them; uint8 `[count, 32, 32, 3]`."""
    patches = []
    for i in range(count):
        top, left = rng.integers(0, TILE - WINDOW + 1, 2)
        patches.append(halved(tiles[i % len(tiles)][top : top + WINDOW, left : left + WINDOW]))
    return np.stack(patches)


def halved(image):
    """Returns a uint8 image `[2h, 2w, C]` at half its size, the mean of 2×2 pixels each."""
    image = image.astype(np.float32)
    rows = image[::2] + image[1::2]  # NumPy's mean over two axes is ten times slower
    return np.round((rows[:, ::2] + rows[:, 1::2]) / 4).astype(np.uint8)
