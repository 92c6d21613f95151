"""The host's compiled loops: against the oracles, and against TensorFlow's operators."""

import concurrent.futures
import itertools

import numpy as np
import pytest

from mocotf.data.views import augmentations
from mocotf.data.views import color
from mocotf.data.views import crop
from mocotf.data.views import numba_ops
from mocotf.data.views import tensorflow_ops
from tests.data.support import assert_close_levels
from tests.data.support import in_planes
from tests.data.support import jitter_with
from tests.data.support import many_draws
from tests.data.support import photograph
from tests.data.test_views import oracle_view
from tests.measured import agree
from tests.oracles import pillow_ops

F = np.float32
PHOTO = photograph("coffee.png", 190, 260)
SQUARE = photograph("astronaut.png", 40, 40)
WHOLE = np.array([0, 0, 40, 40], np.int32)


def make(augmentation, image, windows, draws, **options):
    return numba_ops.ViewMaker(augmentation, **options)(image, windows, draws)


@pytest.mark.parametrize(
    "augmentation", [augmentations.v1(size=40), augmentations.v2(size=40)], ids=["v1", "v2"]
)
def test_views_are_the_oracles(augmentation):
    for draws in many_draws()[:40]:
        ours = make(augmentation, SQUARE, [WHOLE, WHOLE], draws)
        for view, draw in zip(ours, draws, strict=True):
            exact = oracle_view((SQUARE / 255).astype(F), draw, augmentation)
            difference = np.abs(view - exact).max() * min(augmentation.std)
            agree("image: a whole view by Numba, NumPy's definition", difference, 3e-4)


@pytest.mark.parametrize("order", [augmentations.v1, augmentations.v2], ids=["v1", "v2"])
@pytest.mark.parametrize("size", [33, 96])
def test_views_are_those_of_tensorflows_operators(order, size):
    augmentation = order(size=size)
    some = many_draws(200, seed=9)[:30]
    ours, cuts = [], []
    for draws in some:
        windows = np.stack(crop.sample_window(draws, *PHOTO.shape[:2], 0.2), axis=1)
        ours.extend(make(augmentation, PHOTO, windows, draws))
        cuts.extend(crop.resize(PHOTO[t : t + h, x : x + w], size) for t, x, h, w in windows)
    # Operator by operator: XLA would take seconds to compile them for each size and recipe.
    theirs = tensorflow_ops.augment.python_function(np.stack(cuts), np.concatenate(some), augmentation)
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


@pytest.mark.parametrize("size", [7, 64, 224, 300])
def test_crops_are_pillows(size):
    for window in ([0, 0, 190, 260], [13, 50, 91, 133], [100, 20, 5, 3], [189, 259, 1, 1]):
        window = np.array(window, np.int32)
        ours, again = make(
            augmentations.v2(size=size), PHOTO, [window] * 2, many_draws()[0], crops_only=True
        )
        assert ours.dtype == np.uint8 and ours.shape == (size, size, 3)
        np.testing.assert_array_equal(ours, again)
        pillow = pillow_ops.pillow_crop_resize(PHOTO, window, size, size)
        assert_close_levels(ours, pillow, 0.22, most=1, quantity="crop by Numba, Pillow's")


def test_each_operator_is_tensorflows():
    image = (SQUARE / 255).astype(F)
    planes = np.moveaxis(image, -1, 0)

    def compare(kernel, operator, parameter, atol=1e-5):
        ours = planes.copy(order="C")
        kernel(ours, F(parameter))  # in place
        theirs = operator(image[None], np.array([parameter], F))[0]
        np.testing.assert_allclose(np.moveaxis(ours, 0, -1), theirs, atol=atol)

    def blur(pixels, sigma):
        numba_ops.blur(pixels, sigma, np.empty((40, 40), F))

    for shift in (-0.5, -0.13, 0.0, 0.31, 0.5):
        compare(lambda x, shift: numba_ops.hue(x.reshape(3, -1), shift), in_planes(color.hue), shift)
    for sigma in (0.1, 0.7, 2.0):
        compare(blur, in_planes(color.blur), sigma, atol=1e-4)  # cut at 4 σ
    for op in (color.BRIGHTNESS, color.CONTRAST, color.SATURATION):
        for factor in (0.6, 1.4):
            compare(
                lambda x, f, op=op: numba_ops.blend(x.reshape(3, -1), op, f), jitter_with(op), factor
            )


def test_gray_pixels_keep_their_colour():
    pixels = np.repeat(np.linspace(0, 1, 11, dtype=F)[None], 3, axis=0)
    before = pixels.copy()
    numba_ops.hue(pixels, F(0.2))
    np.testing.assert_allclose(pixels, before, atol=1e-6)


def test_the_last_draw_below_1_is_an_order():
    draws = np.full([2, augmentations.DRAWS], np.nextafter(F(1), F(0)), F)
    draws[:, augmentations.JITTER] = 0
    views_ = make(augmentations.v2(size=40), SQUARE, [WHOLE, WHOLE], draws)
    assert np.isfinite(views_).all()


def test_threads_do_not_disturb_each_other():
    augmentation, draws = augmentations.v2(size=64), many_draws()[:24]
    windows = [np.stack(crop.sample_window(d, *PHOTO.shape[:2], 0.2), axis=1) for d in draws]
    maker = numba_ops.ViewMaker(augmentation)
    alone = [maker(PHOTO, w, d) for w, d in zip(windows, draws, strict=True)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        together = list(pool.map(maker, itertools.repeat(PHOTO), windows, draws))
    np.testing.assert_array_equal(alone, together)


def test_arrays_begin_where_tensors_need_no_copy():
    for shape, dtype in (((3,), np.uint8), ((5, 7, 3), np.float32)):
        array = numba_ops.aligned_empty(shape, dtype)
        assert (array.shape, array.dtype) == (shape, dtype)
        assert array.ctypes.data % numba_ops.ALIGNMENT == 0


def test_loops_run_where_no_compiled_code_can_be_kept(monkeypatch):
    real = numba_ops.numba.njit

    def njit(cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return real(**options)

    monkeypatch.setattr(numba_ops.numba, "njit", njit)
    assert numba_ops.compiled(lambda x: x + 1)(2) == 3
