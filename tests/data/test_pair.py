"""What is decoded for both crops of an image."""

import numpy as np
import pytest
import tensorflow as tf

from mocotf.data.views import crop
from mocotf.data.views.decode import decode
from mocotf.data.views.host import decode_windows
from tests.data.support import many_draws
from tests.data.support import photograph


@pytest.mark.parametrize("encode", [tf.io.encode_jpeg, tf.io.encode_png], ids=["jpeg", "png"])
def test_windows_hold_what_the_whole_image_has_there(encode):
    encoded = encode(photograph("coffee.png", 300, 400))
    whole = decode(encoded).numpy()
    for draws in many_draws()[:30]:
        image, windows = decode_windows(encoded, draws, 0.2)
        sampled = np.stack(crop.sample_window(draws, 300, 400, 0.2), axis=1)
        for (top, left, h, w), (y, x, height, width) in zip(windows.numpy(), sampled, strict=True):
            part = image.numpy()[top : top + h, left : left + w].astype(int)
            expected = whole[y : y + height, x : x + width]
            assert part.shape == expected.shape
            # A JPEG's colours are interpolated anew at the edges of what is decoded.
            assert np.abs(part - expected).mean() < 0.5
