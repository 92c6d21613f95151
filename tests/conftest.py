"""What all tests share: four logical CPU devices, the float32 policy, the table of differences."""

import functools
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import keras
import pytest
import tensorflow as tf

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 4
)


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


MEASURED = {}  # quantity: (tolerance, largest difference)


@pytest.fixture(scope="session")
def agree():
    """Returns the check `agree(quantity, difference, tolerance)`, which keeps what it measured."""

    def check(quantity, difference, tolerance):
        _, largest = MEASURED.get(quantity, (tolerance, 0.0))
        MEASURED[quantity] = (tolerance, max(largest, float(difference)))
        assert difference <= tolerance, f"{quantity}: {difference:.3g} apart, more than {tolerance:g}"

    return check


def pytest_sessionfinish(session, exitstatus):
    path = session.config.getoption("--fidelity")
    if not path or exitstatus:
        return
    with open(path, "w", encoding="utf-8") as file:
        file.write(FIDELITY_HEAD)
        for quantity, (tolerance, largest) in sorted(MEASURED.items()):
            measured = "equal" if largest == 0 else f"{largest:.1e}"
            file.write(f"| {quantity} | {f'{tolerance:g}' if tolerance else 'equal'} | {measured} |\n")


FIDELITY_HEAD = """# Fidelity: mocotf against independent oracles

Written by `make fidelity`, from the tests that assert it. The oracles (tests/oracles) are plain
PyTorch and NumPy/Pillow, written from the papers without sight of mocotf's code. Unless a unit is
given, a difference is max|a - b| / max|b| of a tensor, the largest over all tensors and steps.
Image operators are compared on photographs, in units of the 255 grey levels where it says levels.

| quantity | tolerance | largest difference |
|---|---|---|
"""
