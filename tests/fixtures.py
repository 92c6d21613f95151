"""What all tests share: four logical CPU devices, the float32 policy, a small heap, things made once.

A module of its own, for of several test processes the one that runs no test does without TensorFlow.
"""

import ctypes
import fcntl
import functools
import gc
import os

os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
# PyTorch's threads wait spinning: with two processes on two cores the oracles take four times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import mocotf.cli  # noqa: F401  (imports TensorFlow as commands do)

# isort: split
import keras
import pytest
import tensorflow as tf

from tests.trained import train_small

# While a graph is traced there is little garbage to be found.
gc.set_threshold(50_000, 20, 100)

(CPU,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(CPU, [tf.config.LogicalDeviceConfiguration()] * 4)


def pytest_configure(config):
    """Leaves the graphs of quick tests as they are: to optimise one takes longer than their few steps.
    Commands, which are other processes, and slow tests have theirs optimised."""
    if config.option.markexpr == "not slow":
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


@pytest.fixture
def optimised_graphs():
    """Has the graphs of a quick test optimised all the same."""
    before = tf.config.optimizer.get_experimental_options()
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})
    yield
    tf.config.optimizer.set_experimental_options(before)


@pytest.fixture(autouse=True, scope="module")
def small_heap():
    """Gives back what the file before has left, once its last test is let go of.

    To look for garbage among all objects takes up to seconds. So those that this leaves, modules most
    of all, are not looked at again.
    """
    keras.utils.clear_session(free_memory=False)
    gc.collect()
    gc.freeze()
    ctypes.CDLL(None).malloc_trim(0)


@pytest.fixture(autouse=True)
def fresh_keras():
    keras.config.set_dtype_policy("float32")
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture(scope="session")
def once(tmp_path_factory):
    """Returns a function (name, make) → a folder that `make(folder)` has filled, once for all test
    processes; it is for reading only."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    @functools.cache
    def folder(name, make):
        path = shared / f"shared-{name}"
        with open(shared / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                partial = shared / f"{name}.partial"
                partial.mkdir()
                make(partial)
                partial.rename(path)
        return path

    return folder


@pytest.fixture(scope="session")
def trained(once):
    """Returns a folder of `pictures` and a `run` that was trained on them; see `tests/trained.py`."""
    return once("trained", train_small)


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
