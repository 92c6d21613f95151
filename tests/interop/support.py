"""A small ResNet's run, and what its encoder computes."""

import numpy as np
import pytest

from mocotf.moco.saved_run import open_run
from tests.saved_run import write_run


def make_run(path, **flags):
    """Returns the path, str, of a new run directory of a ResNet; see `write_run`."""
    small = {"arch": "resnet10", "width": "0.25", "stem": "imagenet", "image_size": "64"}
    write_run(path, **small | flags)
    return str(path)


def fixture_of_run(**flags):
    """Returns a fixture of a run that the tests of a file share; see `make_run`."""

    @pytest.fixture(scope="module")
    def run(tmp_path_factory):
        return make_run(tmp_path_factory.mktemp("run"), **flags)

    return run


def views(run, images):
    view = open_run(run).view
    images = images if view.channels else images / 255
    return (images - np.float32(view.mean)) / np.float32(view.std)


def reference(path, n=3):
    """Returns (images, features, embedding) of a run's own encoder, arrays: images in 0…255, or with
    --channels as far from 0 as its mean and std say."""
    saved = open_run(path)
    view, rng = saved.view, np.random.default_rng(5)
    shape = n, view.size, view.size, len(view.mean)
    images = rng.normal(view.mean, view.std, shape) if view.channels else rng.integers(0, 256, shape)
    images = images.astype(np.float32)
    encoder, given = saved.encoder(precision="float32"), views(path, images)
    return images, encoder.backbone(given).numpy(), encoder(given).numpy()


def relative(found, expected):
    return np.max(np.abs(np.asarray(found) - expected)) / np.max(np.abs(expected))
