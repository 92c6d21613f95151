"""What is said of the first batch of a run."""

import logging

import numpy as np
import pytest

from mocotf.data.views import augmentations
from mocotf.pretraining.build import FAR
from mocotf.pretraining.build import check_units


@pytest.mark.parametrize(
    ("channels", "far", "said"),
    [
        (4, FAR + 1, "channel 3 of the first batch has values 51 standard deviations from --mean"),
        (4, FAR - 1, None),
        (None, FAR + 1, None),
    ],
)
def test_values_of_other_units_than_were_measured_are_told(caplog, channels, far, said):
    views = np.zeros([2, 3, 8, 8, 4], np.float32)
    views[1, 2, 5, 5, 2] = -far
    with caplog.at_level(logging.WARNING):
        check_units(views, augmentations.v2(size=8, channels=channels))
    assert (said is None and not caplog.text) or said in caplog.text
