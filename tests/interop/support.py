"""A small ResNet's run, and what its encoder computes."""

import numpy as np

from mocotf.training.saved import open_run
from tests.saved_run import write_run


def make_run(path, **flags):
    """Returns the path, str, of a new run directory of a ResNet; see `write_run`."""
    small = {"arch": "resnet10", "width": "0.25", "stem": "imagenet", "image_size": "64"}
    write_run(path, **small | flags)
    return str(path)


def reference(path, n=3):
    """Returns (images, features, embedding) of a run's own encoder, arrays: images in 0…255."""
    saved = open_run(path)
    size = saved.view.size
    images = np.random.default_rng(5).integers(0, 256, (n, size, size, 3)).astype(np.float32)
    views = (images / 255 - np.float32(saved.view.mean)) / np.float32(saved.view.std)
    encoder = saved.encoder(precision="float32")
    return images, encoder.backbone(views).numpy(), encoder(views).numpy()


def relative(found, expected):
    return np.max(np.abs(np.asarray(found) - expected)) / np.max(np.abs(expected))
