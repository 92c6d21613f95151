"""How tests run: with fixtures for all, in time, with what they measure kept."""

import sys

from tests.browser import browser  # noqa: F401  (a fixture for all)
from tests.endings import *  # noqa: F403  (of all tests)
from tests.measured import *  # noqa: F403  (--fidelity)
from tests.starts import *  # noqa: F403  (of commands)

# Which PyTorch for GPUs brings, and imports for an optimizer: beside TensorFlow its LLVM crashes.
sys.modules.setdefault("triton", None)


def pytest_configure(config):
    if not config.getoption("numprocesses", 0):  # else other processes run the tests
        config.pluginmanager.import_plugin("tests.fixtures")
