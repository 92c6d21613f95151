"""Numbers as people read them."""

import pytest

from mocotf.tables import counted


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [
        (0, "image", "0 images"),
        (1, "class", "1 class"),
        (2, "class", "2 classes"),
        (2000, "step", "2,000 steps"),
    ],
)
def test_what_is_counted_has_its_number(number, noun, text):
    assert counted(number, noun) == text
