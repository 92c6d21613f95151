"""Retrieval tells trained, untrained and collapsed encoders apart, whatever pictures come twice."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mocotf.data.bad_images import BadImages
from mocotf.data.sources.base import RandomAccessSource
from mocotf.data.sources.folder import Folder
from mocotf.data.views.augmentations import Augmentation
from mocotf.errors import UserError
from mocotf.evaluation.retrieval import COPIES
from mocotf.evaluation.retrieval import Retrieval
from mocotf.evaluation.retrieval import nearer
from mocotf.evaluation.unlabelled import Unlabelled

VIEW = Augmentation(
    size=16, jitter=(0.4, 0, 0, 0), gray_prob=0, blur_prob=0, mean=(0, 0, 0), std=(1, 1, 1)
)


def picture(number):
    """Returns a picture of noise, uint8 `[20, 20, 3]`, whose colour is that of its number, 0 to 99."""
    noise = np.random.default_rng(number).uniform(0.5, 1, (20, 20, 1))
    colour = 30 + 12 * (number % 10), 30 + 12 * (number // 10), 90
    return (noise * colour).astype(np.uint8)


class Pictures(RandomAccessSource):
    """Pictures of some numbers."""

    name = "pictures"
    shape = (20, 20)

    def __init__(self, numbers):
        self._pictures = tf.stack([picture(number) for number in numbers])
        self.size = len(numbers)

    def load(self, handle):
        return self._pictures[handle]

    def describe(self, handle):
        return tf.strings.as_string(handle)


def retrieval(source):
    return Retrieval(Unlabelled(source), VIEW, BadImages(most=1))


def colours(images):
    """An encoder that has learned what no view changes: the mix of colours."""
    return tf.math.l2_normalize(tf.reduce_mean(images, [1, 2]), axis=1) - 0.5


def projections(images):
    """An encoder of random weights."""
    weights = np.random.default_rng(0).normal(size=(16 * 16 * 3, 64)).astype(np.float32)
    return tf.nn.relu(tf.reshape(images, [len(images), -1]) @ weights)


def alike(images):
    """An encoder that has collapsed, up to rounding."""
    return 3 + 1e-7 * projections(images)


def test_trained_untrained_and_collapsed_encoders_are_told_apart():
    measured = retrieval(Pictures(range(100)))
    trained, untrained, collapsed, zero = (
        measured.scores(encode)
        for encode in (colours, projections, alike, lambda images: 0 * projections(images))
    )
    assert len(trained) == COPIES and trained.mean() > 0.995 > 0.985 > untrained.mean() > 0.6
    assert collapsed.mean() == zero.mean() == 0
    np.testing.assert_array_equal(measured.scores(colours), trained)


def test_a_picture_that_is_there_many_times_is_one_picture():
    measured = retrieval(Pictures([0] * 52 + [11 * i for i in range(1, 9)]))
    assert measured.scores(colours).mean() > 0.9
    assert measured.scores(alike).mean() == 0, "to find the one that is there most is no success"


def test_pictures_that_differ_where_nothing_is_shown_are_several():
    class Deep(Pictures):
        def __init__(self, numbers):
            super().__init__(numbers)
            last = self._pictures[..., :1]
            self._pictures = tf.cast(tf.concat([0 * self._pictures, last], axis=-1), tf.float32)

    view = Augmentation(
        size=16, channels=4, mean=(0,) * 4, std=(255,) * 4, jitter=(0,) * 4, gray_prob=0, blur_prob=0
    )
    measured = Retrieval(Unlabelled(Deep(range(9))), view, BadImages(most=1))
    assert len(measured.scores(colours)) == COPIES


@pytest.mark.parametrize("count", [1, 2, 30])
def test_where_no_two_pictures_differ_nothing_is_asked(count):
    assert retrieval(Pictures([5] * count)).scores(colours).shape == (0,)


def test_pictures_that_do_not_decode_mix_up_no_others(tmp_path):
    for i in range(60):
        Image.fromarray(picture(11 * (i % 9))).save(tmp_path / f"{i:03}.png")
    for i in (0, 7, 20, 33):
        (tmp_path / f"{i:03}.png").write_bytes(b"no image")
    assert retrieval(Folder(str(tmp_path))).scores(colours).mean() > 0.9


def test_the_share_of_others_that_rank_below_is_counted():
    bank = np.array([[2, 0], [0, 1], [1, 1], [3, 3]], np.float32)
    queries = np.array([[1, 0.1], [1, 0.1], [0, 5], [1, 1], [1, 0.1], [0, 0]], np.float32)
    shares = nearer(bank, queries, np.array([0, 1, 1, 2, 2, 0]))
    np.testing.assert_allclose(shares, [1, 0, 1, 2 / 3, 1 / 3, 0])


@pytest.mark.parametrize("own", [0, 3])
def test_equals_are_not_nearer_wherever_they_lie(own):
    bank = np.ones([7, 5], np.float32)
    assert not nearer(bank, bank[:2], np.full(2, own)).any()


def test_by_chance_a_half_is_nearer():
    rng = np.random.default_rng(0)
    bank, queries = (rng.normal(size=(300, 20)).astype(np.float32) for _ in range(2))
    assert abs(nearer(bank, queries, np.arange(300)).mean() - 0.5) < 0.05


def test_features_that_are_no_numbers_are_told():
    bank = np.full([3, 2], np.nan, np.float32)
    with pytest.raises(UserError, match="features are not finite"):
        nearer(bank, bank, np.arange(3))
