"""What converters share: what they refuse, and the check of what they wrote."""

import contextlib
import warnings

import numpy as np

from mocotf.data.views.tensorflow_ops import normalize
from mocotf.errors import UserError

MOST = 1e-3  # that outputs may differ by


def check_stem(config, whose):
    """Refuses a ResNet that a library's cannot be.

    Raises:
        UserError: its stem is not ImageNet's.
    """
    if config.stem != "imagenet":
        raise UserError(
            f"--stem={config.stem}: {whose} has the stem for ImageNet only, 7x7 of stride 2 and a "
            "max-pool; expected a run with --stem=imagenet; --to=keras takes any"
        )


def some_images(view, n=2):
    """Returns random images to compare outputs on, of an `Augmentation`'s channels and in their units:
    float32 `[n, S, S, N]`."""
    rng, shape = np.random.default_rng(0), (n, view.size, view.size, len(view.mean))
    if view.channels:
        return rng.normal(view.mean, view.std, shape).astype(np.float32)
    return rng.integers(0, 256, shape).astype(np.float32)


def normalized(images, view):
    """Returns images as files have them, RGB in 0…255 or others in their own units, as an encoder takes
    them."""
    return normalize(images if view.channels else images / 255, view)


def outputs(saved):
    """Returns (images, what the encoder of a `SavedRun` gives for them).

    The latter is a dictionary of `features` and `embedding`, arrays, as `mocotf.nn.plain.plain` has it.
    """
    images = some_images(saved.view)
    encoder = saved.encoder(precision="float32")
    views = normalized(images, saved.view)
    features, embedding = encoder.backbone(views), encoder(views)
    return images, {"features": features.numpy(), "embedding": embedding.numpy()}


@contextlib.contextmanager
def quiet():
    """Silences exporters' warnings about what they use themselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def difference(found, expected, path):
    """Returns the largest absolute difference between two name → array, in units of each one's largest
    magnitude.

    Raises:
        UserError: it is more than `MOST`.
    """
    apart = [
        np.max(np.abs(np.asarray(found[name]) - value)) / np.max(np.abs(value))
        for name, value in expected.items()
    ]
    worst = float(np.max(apart))  # NaN where one is
    if not worst <= MOST:
        raise UserError(
            f"{path}: not written: what it computes differs from the encoder by {worst:.2g}, expected "
            f"at most {MOST:g}; please report this"
        )
    return worst
