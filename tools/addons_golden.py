"""Writes what tensorflow-addons makes of small images, for tests/data/test_addons_golden.py.

tensorflow-addons is end-of-life and does not import beside mocotf's TensorFlow, so this runs in an
environment of its own (Python 3.11), and the tests read the file. From the repository's root:

    python3.11 -m venv .venv-addons
    .venv-addons/bin/pip install -r requirements-addons.txt
    .venv-addons/bin/python tools/addons_golden.py

It takes seconds on a CPU and writes tests/data/golden/addons.npz, the same arrays each time:

    versions                                 "name==version" of each pin, and of Python
    images                                   uint8 [2, 36, 28, 3]: noise, pattern
    sigmas, gaussian_filter2d                float32 [s], [s, 2, 36, 28, 3], in [0, 1]
    factors                                  float32 [f]
    blend, brightness, contrast, saturation  uint8 [f, 2, 36, 28, 3]; all are tfa.image.blend
"""

import pathlib
import platform

import numpy as np
import tensorflow as tf
import tensorflow_addons as tfa

TARGET = pathlib.Path(__file__).parent.parent / "tests" / "data" / "golden" / "addons.npz"
HEIGHT, WIDTH = 36, 28  # there are pixels that the blur's 17 taps reach no border from
RADIUS = 8  # of mocotf's blur, in pixels
SIGMAS = [0.1, 0.3, 0.7, 1.1, 1.6, 2.0]
FACTORS = [0.637, 0.913, 1.381]  # not round, for results all over the space between two levels
LUMA = [0.299, 0.587, 0.114]  # tensorflow-addons has no gray, and TensorFlow's takes .2989


def make_images():
    """Returns noise, and a pattern of ramp, stripes, checks and saturated edges, uint8."""
    noise = np.random.default_rng(0).integers(0, 256, [HEIGHT, WIDTH, 3])
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    ramp = 255 * y // (HEIGHT - 1)
    stripes = 230 * (x // 4 % 2) + 20
    checks = 255 * ((x // 7 + y // 9) % 2)
    return np.stack([noise, np.stack([ramp, stripes, checks], -1)]).astype(np.uint8)


def gaussian(images, sigma):
    """Returns `images` / 255 after tfa's filter, with mocotf's border.

    tf.pad, hence tfa, cannot repeat edge pixels: NumPy does, and the padding is cut off again.
    float64 keeps the result clear of the order in which a machine adds.
    """
    border = [(0, 0), (RADIUS, RADIUS), (RADIUS, RADIUS), (0, 0)]
    padded = np.pad(images / 255, border, mode="edge")
    blurred = tfa.image.gaussian_filter2d(padded, 2 * RADIUS + 1, sigma).numpy()
    return blurred[:, RADIUS:-RADIUS, RADIUS:-RADIUS].astype(np.float32)


def blend(images, base, factor):
    """Returns tfa's blend from `base` (factor 0) to `images` (factor 1), in whole levels."""
    base = np.broadcast_to(base, images.shape)
    return tfa.image.blend(base, images, factor).numpy().astype(np.uint8)


def main():
    images = make_images()
    gray = (images @ np.array(LUMA))[..., None]
    bases = {
        "blend": images[::-1],
        "brightness": np.zeros(1),
        "contrast": gray.mean((1, 2), keepdims=True),
        "saturation": gray,
    }
    modules = {"numpy": np, "tensorflow": tf, "tensorflow-addons": tfa}
    versions = [f"{name}=={module.__version__}" for name, module in modules.items()]
    versions.append("python==" + ".".join(platform.python_version_tuple()[:2]))
    TARGET.parent.mkdir(exist_ok=True)
    np.savez_compressed(
        TARGET,
        versions=versions,
        images=images,
        sigmas=np.float32(SIGMAS),
        gaussian_filter2d=np.stack([gaussian(images, sigma) for sigma in SIGMAS]),
        factors=np.float32(FACTORS),
        **{name: np.stack([blend(images, base, f) for f in FACTORS]) for name, base in bases.items()},
    )
    print(f"{TARGET}: {TARGET.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
