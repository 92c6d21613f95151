"""Views of one decoded image by compiled loops on the host: what `color` does, several times faster.

TensorFlow's operators go through memory once each; these loops stay in the cache, do nothing that is
not drawn, and run without Python's lock. They take the same draws to the same views, up to rounding.
All are in one file: what Numba keeps on disk is not compiled anew where one of another file changes.
"""

import math
import threading

import numba
import numpy as np

from mocotf.data.views import augmentations
from mocotf.data.views.color import CONTRAST
from mocotf.data.views.color import HUE
from mocotf.data.views.color import LUMA
from mocotf.data.views.color import SATURATION
from mocotf.data.views.color import orders

F = np.float32
R_WEIGHT, G_WEIGHT, B_WEIGHT = map(F, LUMA)
ALIGNMENT = 64  # bytes: arrays that begin there become tensors without a copy

# fastmath lets sums and minima use vector registers; there is no infinity and no NaN it could spoil.
_options = {"nogil": True, "fastmath": True, "error_model": "numpy"}


def compiled(function):
    """Numba's compiler; its result is kept on disk where there is a place that can be written."""
    try:
        return numba.njit(cache=True, **_options)(function)
    except RuntimeError:  # no such place
        return numba.njit(**_options)(function)


class ViewMaker:
    """Makes the views of an image, or their crops for `augment` to go on with.

    Args:
        augmentation: an `Augmentation`.
        crops_only: stop after crop and resize.
    """

    def __init__(self, augmentation, crops_only=False):
        S = augmentation.size
        self._size = S
        # Memory of a thread, kept: new memory of this size is cleared by the system each time.
        self._kept = threading.local()
        self._crops_only, self._dtype = crops_only, np.uint8 if crops_only else F
        chances = augmentation.jitter_prob, augmentation.gray_prob, augmentation.blur_prob
        scale = F(1) / np.array(augmentation.std, F)
        self._recipe = (
            orders(augmentation.jitter),
            np.array(augmentation.jitter, F),
            np.array(chances, F),
            augmentation.gray_first,
            scale,
            -np.array(augmentation.mean, F) * scale,
        )

    def __call__(self, image, windows, draws):
        """Returns views, such as (x_q, x_k), `[S, S, 3]` each: float32, or crops, uint8.

        Args:
            image: uint8 `[h, w, 3]`.
            windows: top, left, height, width of each crop, int32 `[views, 4]`.
            draws: uniforms `[views, DRAWS]`.
        """
        windows = np.asarray(windows)[None]
        made = self._make(image.reshape(-1), [0], image.shape[1:2], windows, draws[None])
        return tuple(x[0] for x in made)

    def of_packed(self, packed, shapes, windows, draws):
        """Returns views of n images, `[n, S, S, 3]` each.

        Args:
            packed: of each image bytes, the last of which are its pixels.
            shapes: of the images, int32 `[n, 3]`.
            windows, draws: `[n, …]` of what one image takes.
        """
        packed, shapes = packed.tolist(), shapes.astype(np.int64)
        levels = np.frombuffer(bytearray().join(packed), np.uint8)
        begins = np.cumsum([*map(len, packed)]) - shapes.prod(axis=1)
        return self._make(levels, begins, shapes[:, 1], windows, draws)

    def _make(self, levels, begins, widths, windows, draws):
        S = self._size
        if not hasattr(self._kept, "planes"):
            self._kept.planes, self._kept.half = np.empty((3, S, S), F), np.empty((S, S), F)
        n, views = draws.shape[:2]
        made = tuple(aligned_empty((n, S, S, 3), self._dtype) for _ in range(views))
        images = levels, np.array(begins, np.int64), np.array(widths, np.int64), windows
        # One call: threads queue for Python's lock after each.
        if self._crops_only:
            make_crops(*images, self._kept.planes, made)
        else:
            make_views(*images, draws, self._kept.planes, self._kept.half, *self._recipe, made)
        return made


def aligned_empty(shape, dtype):
    """Returns `np.empty(shape, dtype)` that begins at a multiple of ALIGNMENT."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


@compiled
def round_to_bytes(planes, out):
    """Puts planes in 0…255 into uint8 `out` `[S, S, 3]`."""
    r, g, b = planes[0].reshape(-1), planes[1].reshape(-1), planes[2].reshape(-1)
    levels = out.reshape(-1)
    for i in range(r.size):
        levels[3 * i] = np.uint8(r[i] + F(0.5))
        levels[3 * i + 1] = np.uint8(g[i] + F(0.5))
        levels[3 * i + 2] = np.uint8(b[i] + F(0.5))


@compiled
def make_view(planes, half, draws, orders, strengths, chances, gray_first, scale, shift, out):
    """Makes a view of a crop in [0, 1] by the draws `[DRAWS]`; see `tensorflow_ops.augment`.

    Args:
        planes: the crop, float32 `[3, S, S]`; overwritten.
        half: working memory, float32 `[S, S]`.
        orders, strengths: of jitter, see `color.jitter`.
        chances: of jitter, gray and blur.
        gray_first: gray before jitter.
        scale, shift: per channel; they normalise.
        out: the view, float32 `[S, S, 3]`.
    """
    pixels = planes.reshape(3, -1)
    is_gray = draws[augmentations.GRAY] < chances[1]
    if is_gray and gray_first:
        gray(pixels)
    if draws[augmentations.JITTER] < chances[0]:
        jitter(pixels, draws, orders, strengths)
    if is_gray and not gray_first:
        gray(pixels)
    if draws[augmentations.BLUR] < chances[2]:
        blur(planes, F(0.1) + F(1.9) * draws[augmentations.SIGMA], half)
    if draws[augmentations.FLIP] < F(0.5):
        flip(planes)
    normalize(pixels, scale, shift, out.reshape(-1))


@compiled
def flip(planes):
    """Mirrors left and right."""
    S = planes.shape[1]
    for c in range(3):
        for y in range(S):
            row = planes[c, y]
            for x in range(S // 2):
                row[x], row[S - 1 - x] = row[S - 1 - x], row[x]


@compiled
def normalize(pixels, scale, shift, out):
    """Puts planes side by side, as pixels, and on the scale of the encoder."""
    r, g, b = pixels[0], pixels[1], pixels[2]
    for i in range(r.size):
        out[3 * i] = r[i] * scale[0] + shift[0]
        out[3 * i + 1] = g[i] * scale[1] + shift[1]
        out[3 * i + 2] = b[i] * scale[2] + shift[2]


@compiled
def triangle(length, size):
    """Returns the filter that takes `length` pixels to `size`: (first pixel read, weights).

    The same number of taps for all, so that loops over pixels are the inner ones: first int32
    `[size]`, weights `[taps, size]`.
    """
    scale = F(length) / F(size)
    support = max(scale, F(1))
    taps = min(int(math.ceil(2 * support)), length)
    first = np.empty(size, np.int32)
    weights = np.zeros((taps, size), F)
    for i in range(size):
        centre = (i + F(0.5)) * scale
        low = min(max(int(math.ceil(centre - support - F(0.5))), 0), length - taps)
        total = F(0)
        for t in range(taps):
            weights[t, i] = max(F(0), F(1) - abs(low + t + F(0.5) - centre) / support)
            total += weights[t, i]
        for t in range(taps):
            weights[t, i] /= total
        first[i] = low
    return first, weights


@compiled
def resize(levels, begin, stride, window, unit, planes):
    """Cuts a window and resizes it, bilinear with antialias, to `planes` `[3, S, S]`, times `unit`.

    The image begins at `levels[begin]` and has `stride` pixels a row.
    """
    top, left, height, width = window
    S = planes.shape[1]
    first_row, row_weights = triangle(height, S)
    first_column, column_weights = triangle(width, S)
    first_column *= np.int32(3)
    row_weights *= unit
    row = np.empty(3 * width, F)
    for y in range(S):
        for x in range(3 * width):
            row[x] = 0
        for t in range(len(row_weights)):
            weight = row_weights[t, y]
            start = begin + 3 * ((top + first_row[y] + t) * stride + left)
            read = levels[start : start + 3 * width]
            for x in range(3 * width):
                row[x] += weight * F(read[x])
        r, g, b = planes[0, y], planes[1, y], planes[2, y]
        for x in range(S):
            r[x], g[x], b[x] = F(0), F(0), F(0)
        for t in range(len(column_weights)):
            weights, read = column_weights[t], row[3 * t :]
            for x in range(S):
                i = np.uint32(first_column[x])  # with a sign, Numba would ask each index for it
                r[x] += weights[x] * read[i]
                g[x] += weights[x] * read[i + np.uint32(1)]
                b[x] += weights[x] * read[i + np.uint32(2)]


@compiled
def jitter(pixels, draws, orders, strengths):
    """Applies the operators that have a strength in the drawn order."""
    order = orders[int(draws[augmentations.ORDER] * F(len(orders)))]
    for op in order:
        by = (F(2) * draws[augmentations.FACTORS][op] - F(1)) * strengths[op]
        if op == HUE:
            hue(pixels, by)
        else:
            blend(pixels, op, F(1) + by)


@compiled
def blend(pixels, op, factor):
    """Blends with black, with the mean gray or with gray, clipped to [0, 1]."""
    r, g, b = pixels[0], pixels[1], pixels[2]
    rest = F(1) - factor
    mean = F(0)
    if op == CONTRAST:
        for i in range(r.size):
            mean += R_WEIGHT * r[i] + G_WEIGHT * g[i] + B_WEIGHT * b[i]
        mean *= rest / F(r.size)
    if op == SATURATION:
        for i in range(r.size):
            base = rest * (R_WEIGHT * r[i] + G_WEIGHT * g[i] + B_WEIGHT * b[i])
            r[i] = min(max(factor * r[i] + base, F(0)), F(1))
            g[i] = min(max(factor * g[i] + base, F(0)), F(1))
            b[i] = min(max(factor * b[i] + base, F(0)), F(1))
    else:
        flat = pixels.reshape(-1)
        for i in range(flat.size):
            flat[i] = min(max(factor * flat[i] + mean, F(0)), F(1))


@compiled
def hue(pixels, shift):
    """Shifts the hue by `shift` turns, wrapping; see `color.hue`."""
    R, G, B = pixels[0], pixels[1], pixels[2]
    for i in range(R.size):
        r, g, b = R[i], G[i], B[i]
        value = max(max(r, g), b)
        chroma = value - min(min(r, g), b)
        # Conditional values, not branches: they fit vector registers. A gray pixel is ahead by 0.
        ahead = g - b if value == r else (b - r if value == g else r - g)
        third = F(0) if value == r else (F(2) if value == g else F(4))
        sixths = ahead / max(chroma, F(1e-12)) + third + F(6) * shift
        R[i] = _channel(value, chroma, sixths + F(5))
        G[i] = _channel(value, chroma, sixths + F(3))
        B[i] = _channel(value, chroma, sixths + F(1))


@compiled
def _channel(value, chroma, k):
    k -= F(6) * math.floor(k * F(1 / 6))
    return value - chroma * min(max(min(k, F(4) - k), F(0)), F(1))


@compiled
def gray(pixels):
    """Puts the luma in all three planes."""
    r, g, b = pixels[0], pixels[1], pixels[2]
    for i in range(r.size):
        luma = R_WEIGHT * r[i] + G_WEIGHT * g[i] + B_WEIGHT * b[i]
        r[i], g[i], b[i] = luma, luma, luma


@compiled
def blur(planes, sigma, half):
    """Gaussian blur with a kernel cut at 4 σ; edge pixels are repeated beyond the border.

    `half` is working memory `[S, S]`, for what is blurred along columns only.
    """
    S = planes.shape[1]
    R = int(math.ceil(4 * sigma))
    kernel = np.empty(R + 1, F)  # of the centre and one side
    for t in range(R + 1):
        kernel[t] = math.exp(F(-t * t) / (F(2) * sigma * sigma))
    kernel /= F(2) * kernel.sum() - kernel[0]
    line = np.empty(S + 2 * R, F)
    for c in range(3):
        plane = planes[c]
        for y in range(S):
            out, centre = half[y], plane[y]
            for x in range(S):
                out[x] = kernel[0] * centre[x]
            for t in range(1, R + 1):
                weight, above, below = kernel[t], plane[max(y - t, 0)], plane[min(y + t, S - 1)]
                for x in range(S):
                    out[x] += weight * (above[x] + below[x])
        for y in range(S):
            out, centre = plane[y], half[y]
            for x in range(R):
                line[x], line[R + S + x] = centre[0], centre[S - 1]
            for x in range(S):
                line[R + x] = centre[x]
                out[x] = kernel[0] * centre[x]
            for t in range(1, R + 1):
                weight, before, after = kernel[t], line[R - t :], line[R + t :]
                for x in range(S):
                    out[x] += weight * (before[x] + after[x])


@compiled
def make_crops(levels, begins, widths, windows, planes, out):
    """Makes the crops of n images, uint8 `[n, S, S, 3]` each in the tuple `out`.

    Args:
        levels: pixels of the images, uint8.
        begins, widths: where in `levels` each image begins, and its width, int64 `[n]`.
        windows: as `ViewMaker` takes them, `[n, views, 4]`.
        planes: working memory, float32 `[3, S, S]`.
    """
    for v in range(len(out)):
        crops = out[v]
        for i in range(len(begins)):
            resize(levels, begins[i], widths[i], windows[i, v], F(1), planes)
            round_to_bytes(planes, crops[i])


@compiled
def make_views(
    levels,
    begins,
    widths,
    windows,
    draws,
    planes,
    half,
    orders,
    strengths,
    chances,
    gray_first,
    scale,
    shift,
    out,
):
    """Makes the views of n images, as `make_crops` does the crops and `make_view` each view."""
    for v in range(len(out)):
        made = out[v]
        for i in range(len(begins)):
            resize(levels, begins[i], widths[i], windows[i, v], F(1 / 255), planes)
            make_view(
                planes,
                half,
                draws[i, v],
                orders,
                strengths,
                chances,
                gray_first,
                scale,
                shift,
                made[i],
            )
