"""Oracle: torchvision's image operations, by definition (NumPy float64) and as Pillow does them.

Names without prefix take and return float arrays [H, W, 3] in [0, 1]; the names `pillow_*` take
and return uint8 arrays [H, W, 3], rounded after every operation as the original pipeline's are.
"""

import numpy as np
from PIL import Image
from PIL import ImageEnhance
from PIL import ImageFilter
from scipy import ndimage

GRAY = np.array([0.299, 0.587, 0.114])
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def blend(image, other, factor):
    """factor · image + (1 − factor) · other, clipped to [0, 1]."""
    return np.clip(factor * np.asarray(image, np.float64) + (1.0 - factor) * other, 0.0, 1.0)


def gray(image):
    """.299 R + .587 G + .114 B, [H, W, 1]."""
    return (np.asarray(image, np.float64) @ GRAY)[..., None]


def grayscale(image):
    """The gray image, three times: [H, W, 3]."""
    return np.repeat(gray(image), 3, axis=-1)


def brightness(image, factor):
    """Multiplies (blends with black)."""
    return blend(image, 0.0, factor)


def contrast(image, factor):
    """Blends with the mean of the gray image, one number for the whole image."""
    return blend(image, gray(image).mean(), factor)


def saturation(image, factor):
    """Blends with the gray image."""
    return blend(image, gray(image), factor)


def hue(image, shift):
    """Adds `shift`, in turns (−.5 to .5), to the hue of HSV, with wrap."""
    h, s, v = np.moveaxis(rgb_to_hsv(image), -1, 0)
    return hsv_to_rgb(np.stack([(h + shift) % 1.0, s, v], -1))


def rgb_to_hsv(image):
    """colorsys.rgb_to_hsv for whole images: h, s, v in [0, 1]."""
    r, g, b = np.moveaxis(np.asarray(image, np.float64), -1, 0)
    high, low = np.maximum(np.maximum(r, g), b), np.minimum(np.minimum(r, g), b)
    span = high - low
    safe = np.where(span == 0, 1.0, span)
    rc, gc, bc = (high - r) / safe, (high - g) / safe, (high - b) / safe
    h = np.where(r == high, bc - gc, np.where(g == high, 2.0 + rc - bc, 4.0 + gc - rc))
    h = np.where(span == 0, 0.0, (h / 6.0) % 1.0)
    s = np.where(span == 0, 0.0, span / np.where(high == 0, 1.0, high))
    return np.stack([h, s, high], -1)


def hsv_to_rgb(hsv):
    """colorsys.hsv_to_rgb for whole images."""
    h, s, v = np.moveaxis(np.asarray(hsv, np.float64), -1, 0)
    sector = np.floor(h * 6.0)
    f = h * 6.0 - sector
    p, q, t = v * (1.0 - s), v * (1.0 - s * f), v * (1.0 - s * (1.0 - f))
    sector = sector.astype(np.int64) % 6
    r = np.choose(sector, [v, q, p, p, t, v])
    g = np.choose(sector, [t, v, v, q, p, p])
    b = np.choose(sector, [p, p, t, v, v, q])
    return np.stack([r, g, b], -1)


def jitter(image, order, factors):
    """Applies the operations named in `order` one after the other, each clipped.

    Args:
      order: names out of "brightness", "contrast", "saturation", "hue".
      factors: name → factor (hue: shift).
    """
    operations = {
        "brightness": brightness, "contrast": contrast, "saturation": saturation, "hue": hue
    }  # fmt: skip
    for name in order:
        image = operations[name](image, factors[name])
    return image


def flip(image):
    """Mirrors left and right."""
    return np.asarray(image)[:, ::-1]


def normalise(image, mean=MEAN, std=STD):
    """(image − mean) / std a channel."""
    return (np.asarray(image, np.float64) - np.array(mean)) / np.array(std)


def resize_matrix(size, new_size):
    """The antialiased bilinear resampling of one axis as a matrix [new_size, size].

    A triangle filter about each new pixel's centre, as wide as one new pixel (one old pixel, when
    enlarging), cut at the border and normalised to sum 1.
    """
    scale = size / new_size
    centres = (np.arange(new_size)[:, None] + 0.5) * scale
    distance = (np.arange(size)[None] + 0.5 - centres) / max(scale, 1.0)
    weights = np.maximum(0.0, 1.0 - np.abs(distance))
    return weights / weights.sum(1, keepdims=True)


def crop_resize(image, box, height, width):
    """Cuts box = (top, left, h, w), then resizes it: nothing outside the box is seen."""
    top, left, h, w = box
    part = np.asarray(image, np.float64)[top : top + h, left : left + w]
    return np.einsum("yh,hwc,xw->yxc", resize_matrix(h, height), part, resize_matrix(w, width))


def blur(image, sigma):
    """A true Gaussian blur: border repeated, kernel cut at 4 σ."""
    image = np.asarray(image, np.float64)
    return ndimage.gaussian_filter(image, (sigma, sigma, 0.0), mode="nearest", truncate=4.0)


def pillow_crop_resize(image, box, height, width):
    """`Image.crop` then `Image.resize`; float arrays go through mode F, without rounding."""
    top, left, h, w = box

    def resized(channels):
        part = Image.fromarray(channels).crop((left, top, left + w, top + h))
        return np.asarray(part.resize((width, height), Image.Resampling.BILINEAR))

    image = np.asarray(image)
    if image.dtype == np.uint8:
        return resized(image)
    return np.stack([resized(image[..., c].astype(np.float32)) for c in range(3)], -1)


def pillow_enhance(image, name, factor):
    """Pillow's "brightness", "contrast" or "saturation"."""
    enhance = {
        "brightness": ImageEnhance.Brightness,
        "contrast": ImageEnhance.Contrast,
        "saturation": ImageEnhance.Color,
    }[name]
    return np.asarray(enhance(Image.fromarray(image)).enhance(factor))


def pillow_hue(image, shift):
    """The uint8 HSV shift: the hue byte takes int(255 · shift), towards zero, and wraps."""
    h, s, v = Image.fromarray(image).convert("HSV").split()
    h = ((np.asarray(h, np.int64) + int(shift * 255)) % 256).astype(np.uint8)
    return np.asarray(Image.merge("HSV", (Image.fromarray(h), s, v)).convert("RGB"))


def pillow_grayscale(image):
    """Mode L, three times."""
    return np.repeat(np.asarray(Image.fromarray(image).convert("L"))[..., None], 3, axis=-1)


def pillow_blur(image, sigma):
    """The original's blur: Pillow's GaussianBlur, three box passes, radius = σ."""
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius=sigma)))
