"""Which pictures the views of a positive pair are of, and what of them is decoded."""

import numpy as np
import tensorflow as tf

from mocotf.data.views.decode import or_else
from mocotf.data.views.host import decode_windows
from mocotf.data.views.tensorflow_ops import view_draws


class OnePicture:
    """All views are of the picture that was drawn.

    Args:
        source: a `Source` of encoded images.
        augmentation: an `Augmentation`.
        seed: of the run.
        views: how many.
        python: as `decode` has it.
        max_pixels: as `decode` has it; by default the source's.

    Attributes:
        views: of a picture.
        pictures: of a pair.
    """

    pictures = 1

    def __init__(self, source, augmentation, seed, views, python=True, max_pixels=None):
        self.views, self._source, self._seed, self._python = views, source, seed, python
        self._channels, self._max_pixels = augmentation.channels, max_pixels or source.max_pixels
        areas = augmentation.min_areas(views)
        self._area = areas[0] if len(set(areas)) == 1 else np.array(areas, np.float32)[:, None]

    def arranged(self, drawn):
        """Returns a dataset of (key, handle) with the handles that the other methods take."""
        return drawn

    def of_source(self, handle):
        """Returns the handle of the picture that was drawn, as the source has it."""
        return handle

    def decoded(self, key, handle):
        """Returns (image, windows, draws) of each picture, see `decode_windows`; may fail."""
        return [self._decoded(key, handle, slice(self.views), self._area)]

    def describe(self, handle):
        """Returns what a message calls the picture for which `decoded` failed."""
        return self._source.describe(handle)

    def _decoded(self, key, picture, which, min_area):
        """Returns (image, windows, draws) of the views `which`, a slice, of a picture."""
        draws = view_draws(self._seed, key)[which]
        options = self._source.upright, self._python, self._channels, self._max_pixels
        return *decode_windows(self._source.load(picture), draws, min_area, *options), draws


class TwoPictures(OnePicture):
    """The query is of the picture that was drawn, the key of another of its group."""

    pictures = 2

    def __init__(self, source, augmentation, seed, python=True, max_pixels=None):
        super().__init__(source, augmentation, seed, 1, python, max_pixels)
        self._areas = augmentation.min_areas(2)

    def arranged(self, drawn):
        return drawn.map(lambda key, handle: (key, (key, handle)))  # what fails is named by its key

    def of_source(self, handle):
        return handle[1]

    def decoded(self, key, handle):
        pair = self._pair(*handle)
        return [self._view(key, picture, v) for v, picture in enumerate(pair)]

    def describe(self, handle):
        query, partner = self._pair(*handle)
        is_good, _ = or_else(
            lambda: tf.shape(self._view(handle[0], query, 0)[0]), tf.zeros([3], tf.int32)
        )
        return self._source.describe(tf.where(is_good, partner, query))

    def _pair(self, key, image):
        return image, self._source.groups.partner(self._seed, key, image)

    def _view(self, key, picture, v):
        return self._decoded(key, picture, slice(v, v + 1), self._areas[v])
