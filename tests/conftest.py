"""What all tests share: four logical CPU devices, the float32 policy, the table of differences."""

import functools
import gc
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as mocotf.cli does
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
# PyTorch's threads wait spinning: with two processes on two cores the oracles take four times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import keras
import pytest
import tensorflow as tf

from mocotf.nn import resnet
from tests.browser import browser  # noqa: F401  (a fixture for all)
from tests.measured import table

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 4
)


# For tests that need an encoder and no certain one: half of what a resnet10 takes to be traced.
resnet.ARCHITECTURES["resnet6"] = (False, (1, 1))


@pytest.fixture(autouse=True, scope="module")
def small_heap():
    # After each test Keras's session is cleared, which looks for garbage among all objects for up to
    # seconds. Those that are there before a file's tests, the modules most of all, are left out.
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def fresh_keras():
    keras.config.set_dtype_policy("float32")
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")
    keras.utils.clear_session()


@pytest.fixture(scope="session")
def replicas():
    """Returns a function from a number of replicas to the strategy on so many logical CPU devices.

    One strategy a number for the whole session, with collective keys of its own: TensorFlow numbers
    the collective operations of every strategy object from the same start, and those of a second
    one in a process run into the first's.
    """

    @functools.cache
    def make(count):
        devices = [f"CPU:{i}" for i in range(count)]
        if count == 1:
            return tf.distribute.OneDeviceStrategy(devices[0])
        tf.distribute.MirroredStrategy._collective_key_base = 1000 * count
        return tf.distribute.MirroredStrategy(devices)

    return make


def pytest_addoption(parser):
    parser.addoption("--fidelity", metavar="FILE", help="write the table of measured differences")


def pytest_sessionfinish(session, exitstatus):
    path = session.config.getoption("--fidelity")
    if path and not exitstatus:
        with open(path, "w", encoding="utf-8") as file:
            file.write(table())
