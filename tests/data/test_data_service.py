"""tf.data service: other processes make the views, the same ones."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from mocotf.data import recipe
from mocotf.data.bad_images import BadImages
from mocotf.data.folder import Folder
from mocotf.data.patches import Patches
from mocotf.data.pipeline import random_views
from mocotf.data.source import Order
from mocotf.data.tfds import TFDS
from tests.data.support import prepare_tiny_images
from tests.data.support import write_colours

# A worker that has TensorFlow only: mocotf is not on its path.
WORKER = """
import sys
import tensorflow as tf
config = tf.data.experimental.service.WorkerConfig(dispatcher_address=sys.argv[1])
worker = tf.data.experimental.service.WorkerServer(config)
print("ready", flush=True)
worker.join()
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """Returns a function that starts a service with so many workers, and gives its address."""
    elsewhere, dispatchers, workers = tmp_path_factory.mktemp("elsewhere"), {}, []

    def start(count):
        if count not in dispatchers:
            dispatchers[count] = tf.data.experimental.service.DispatchServer()
            address = dispatchers[count].target.split("://")[1]
            command = [sys.executable, "-c", WORKER, address]
            options = {"cwd": elsewhere, "stdout": subprocess.PIPE, "text": True}
            workers.extend(subprocess.Popen(command, **options) for _ in range(count))
            for worker in workers[-count:]:
                assert worker.stdout.readline() == "ready\n"
        return dispatchers[count].target

    yield start
    for worker in workers:
        worker.kill()
        worker.wait()
        worker.stdout.close()


def source_of(name, folder):
    if name == "patches":
        return Patches()
    if name == "folder":
        write_colours(folder, 12)
        with open(f"{folder}/003.jpg", "wb") as file:
            file.write(b"no image")
        return Folder(folder)
    os.makedirs(folder)
    prepare_tiny_images(folder)
    return TFDS("tiny_images", folder)


def batches(source, count, first_step=0, bad=None, data_service=None):
    order = Order(0, 4, source.steps_per_epoch(4))
    pairs = random_views(
        source,
        recipe.v2(size=16),
        order,
        bad_images=bad or BadImages(),
        first_step=first_step,
        ops="tensorflow",
        data_service=data_service,
    )
    return np.array([np.stack(pair) for pair in pairs.take(count)])


@pytest.mark.parametrize("name", ["patches", "folder", "tfds"])
def test_one_worker_makes_the_same_views_in_the_same_order(tmp_path, service, name):
    source, bad = source_of(name, str(tmp_path / "data")), BadImages()
    target = service(1)
    for first_step in (0, 2):
        expected = batches(source, 5, first_step)
        ours = batches(source, 5, first_step, bad=bad, data_service=target)
        np.testing.assert_allclose(ours, expected, atol=1e-5)
    if name == "folder":
        assert [path.rpartition("/")[2] for path in bad.names] == ["003.jpg"]


def test_several_workers_make_each_batch_once(tmp_path, service):
    source = source_of("patches", str(tmp_path))
    expected = batches(source, 40)
    ours = batches(source, 24, data_service=service(2))
    difference = np.abs(ours[:, None] - expected[None]).max((2, 3, 4, 5, 6))
    nearest = difference.argmin(axis=1)
    assert difference.min(axis=1).max() < 1e-5  # each is a batch of the run
    assert len(set(nearest)) == 24  # and none comes twice
