"""A worker that waits in vain ends, one that is heard of does not."""

import subprocess
import sys

import pytest

WATCHED = """
import time
from mocotf.training.watchdog import Watchdog
with Watchdog(.3) as watchdog:
    time.sleep(.5)  # reads its images: it waits for no other yet
    for _ in range({steps}):
        watchdog.hear()
        time.sleep(.05)
    time.sleep({stuck})
time.sleep(.5)
print("done")
"""


@pytest.mark.parametrize(("steps", "stuck"), [(1, 60), (10, 60), (10, 0)])
def test_a_process_ends_where_no_step_does(steps, stuck):
    command = [sys.executable, "-c", WATCHED.format(steps=steps, stuck=stuck)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    if not stuck:
        assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
        return
    assert done.returncode == 1 and "--worker_timeout=0.3 s, so another worker is stuck" in done.stderr
    assert len(done.stderr.splitlines()) == 1 and not done.stdout
