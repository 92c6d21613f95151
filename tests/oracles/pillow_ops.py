"""Oracle: torchvision's image operations, by definition (NumPy float64) and as Pillow does them.

Names without prefix take and return float arrays [H, W, 3] in [0, 1]; the names `pillow_*` take
and return uint8 arrays [H, W, 3], rounded after every operation as the original pipeline's are.
"""

import numpy as np
from PIL import Image
from PIL import ImageEnhance
from PIL import ImageFilter
from scipy import ndimage
from skimage import color

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
    """Adds `shift`, in turns (−.5 to .5), to the hue of scikit-image's HSV, with wrap."""
    h, s, v = np.moveaxis(color.rgb2hsv(np.asarray(image, np.float64)), -1, 0)
    return color.hsv2rgb(np.stack([(h + shift) % 1.0, s, v], -1))


def jitter(image, order, factors):
    """Applies the operations whose names are in `order`, with `factors` (hue: shift) by name."""
    operations = {step.__name__: step for step in (brightness, contrast, saturation, hue)}
    for name in order:
        image = operations[name](image, factors[name])
    return image


def normalise(image, mean=MEAN, std=STD):
    """(image − mean) / std a channel."""
    return (np.asarray(image, np.float64) - np.array(mean)) / np.array(std)


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
    enhance = getattr(ImageEnhance, "Color" if name == "saturation" else name.title())
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
