"""tf.data service: other processes make the views, the same ones."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mocotf.data.bad_images import BadImages
from mocotf.data.pretraining import random_views
from mocotf.data.sources.base import Order
from mocotf.data.sources.folder import Folder
from mocotf.data.sources.groups import Groups
from mocotf.data.sources.patches import Patches
from mocotf.data.sources.tfds import TFDS
from mocotf.data.views import augmentations
from tests import processes
from tests.data.support import folder_with_bad_files
from tests.data.support import prepare_tiny_images
from tests.data.support import write_colours

CROPS = augmentations.Augmentation(size=16, jitter=(0, 0, 0, 0), gray_prob=0, blur_prob=0)
# A worker that has TensorFlow only: mocotf cannot be imported.
WORKER = """
import sys
sys.modules["mocotf"] = None
import tensorflow as tf
config = tf.data.experimental.service.WorkerConfig(dispatcher_address=sys.argv[1])
worker = tf.data.experimental.service.WorkerServer(config)
print("ready", flush=True)
worker.join()
"""


@pytest.fixture(scope="module")
def start_worker(tmp_path_factory):
    """Returns a function that starts a worker of a dispatcher, which ends with the test or the file."""
    program = tmp_path_factory.mktemp("elsewhere") / "worker.py"
    program.write_text(WORKER)

    def start(dispatcher):
        worker = processes.start(str(program), dispatcher.target.split("://")[1])
        worker.wait_until(lambda: worker.out == "ready\n")

    return start


@pytest.fixture(scope="module")
def service(start_worker):
    """Returns a dispatcher that has one worker."""
    dispatcher = tf.data.experimental.service.DispatchServer()
    start_worker(dispatcher)
    return dispatcher


def source_of(name, folder):
    if name == "patches":
        return Patches()
    if name in ("folder", "groups"):
        source = folder_with_bad_files(folder, 12, [3])
        source.groups = Groups(np.arange(12) // 4) if name == "groups" else None
        return source
    prepare_tiny_images(str(folder))
    return TFDS("tiny_images", str(folder))


def batches(source, count, augmentation, **options):
    order = Order(0, 4, source.steps_per_epoch(4))
    options = {"bad_images": BadImages(), "ops": "tensorflow"} | options
    pairs = random_views(source, augmentation, order, **options)
    return np.array([np.stack(pair) for pair in pairs.take(count)])


@pytest.mark.parametrize(
    ("name", "first_step", "augmentation"),
    [
        pytest.param("patches", 0, augmentations.v2(size=16), marks=pytest.mark.slow),
        ("folder", 2, augmentations.v1(size=16)),
        pytest.param("groups", 2, CROPS, marks=pytest.mark.slow),
        pytest.param("tfds", 2, CROPS, marks=pytest.mark.slow),
    ],
)
def test_one_worker_makes_the_same_views_in_the_same_order(
    tmp_path, service, name, first_step, augmentation
):
    source, bad = source_of(name, tmp_path), BadImages()
    options = {"augmentation": augmentation, "first_step": first_step}
    expected = batches(source, 5, **options)
    ours = batches(source, 5, bad_images=bad, data_service=service.target, **options)
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    if name in ("folder", "groups"):
        assert [path.rpartition("/")[2] for path in bad.names] == ["003.jpg"]


def test_what_only_python_reads_is_a_bad_image_there(tmp_path, service):
    write_colours(tmp_path, 8)
    Image.new("RGB", (40, 30)).save(tmp_path / "scan.tif")
    source, bad = Folder(str(tmp_path)), BadImages()
    batches(source, 6, CROPS, bad_images=bad, data_service=service.target)
    assert [path.rpartition("/")[2] for path in bad.names] == ["scan.tif"]
    elsewhere = BadImages()
    batches(source, 6, CROPS, bad_images=elsewhere)
    assert not elsewhere.names


def test_several_workers_make_each_batch_once(tmp_path, service, start_worker):
    start_worker(service)
    source = source_of("patches", tmp_path)
    expected = batches(source, 40, CROPS)
    ours = batches(source, 24, CROPS, data_service=service.target)
    difference = np.abs(ours[:, None] - expected[None]).max((2, 3, 4, 5, 6))
    nearest = difference.argmin(axis=1)
    assert difference.min(axis=1).max() < 1e-5  # each is a batch of the run
    assert len(set(nearest)) == 24  # and none comes twice
