"""How tests end: in time, and with the processes that they have started."""

import faulthandler
import os
import sys
import threading

import pytest

from tests import processes


@pytest.fixture(autouse=True, scope="module")
def no_process_outlives_its_file():
    yield
    processes.end_all()


@pytest.fixture(autouse=True)
def no_process_outlives_its_test(no_process_outlives_its_file):
    before = list(processes.running)
    yield
    processes.end_all(but=before)


def pytest_timeout_set_timer(item, settings):
    """Ends this process, and all that it has started, when a test has hung; xdist names the test."""

    def end():
        print(f"\n{item.nodeid}: still running after {settings.timeout:g} s", file=sys.__stderr__)
        faulthandler.dump_traceback(sys.__stderr__)
        processes.end_all()
        os._exit(1)

    item.timer = threading.Timer(settings.timeout, end)
    item.timer.daemon = True
    item.timer.start()
    return True


def pytest_timeout_cancel_timer(item):
    if hasattr(item, "timer"):
        item.timer.cancel()
    return True
