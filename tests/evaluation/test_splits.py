"""The images that evaluation reads."""

import numpy as np

from mocotf.data.bad_images import BadImages
from mocotf.data.folder import Folder
from mocotf.data.recipe import Augmentation
from mocotf.evaluation.splits import KNNSplits
from tests.data.support import write_colours

VIEW = Augmentation(size=16)


def test_at_most_so_many_images_are_picked_evenly(tmp_path):
    for name in "ab":
        write_colours(str(tmp_path / name), 25)
    source = Folder(str(tmp_path))
    assert source.evaluation_sizes == (45, 5)
    for most, size in ((None, 45), (45, 45), (44, 23), (10, 9), (1, 1)):
        splits = KNNSplits(source, VIEW, BadImages(), (most, None), batch_size=10)
        labels = np.concatenate([labels for _, labels in splits.bank.as_numpy_iterator()])
        assert (len(labels), 5) == splits.sizes == (size, 5)
        if size > 1:
            assert abs(np.mean(labels) - 0.5) < 0.1
