"""The program that starts several workers here; its workers are tests/tools/worker.py."""

import re
import signal

import pytest

from tests import processes

DRIVER = """
import sys
from mocotf.cli import command
from tools import children
from tools import launch_local
children.TRAIN = [sys.executable, "tests/tools/worker.py"]
command.run(launch_local.main, positional=None)
"""


@pytest.fixture
def launch(tmp_path):
    """Returns a function of further flags that starts two workers of the run tmp_path / "run"."""
    (tmp_path / "driver.py").write_text(DRIVER)

    def launch(*flags, restarts=0):
        command = [str(tmp_path / "driver.py"), "-n", 2, f"--restarts={restarts}", "--"]
        return processes.start(*command, *flags, f"--model_dir={tmp_path / 'run'}")

    return launch


def test_lines_begin_with_the_number_of_the_worker(launch):
    done = launch("--steps=1").wait()
    assert done.code == 0, done.err
    first, second = sorted(done.out.splitlines())
    assert first.startswith("[0] flags --steps=1 --model_dir=")
    assert second == first.replace("[0]", "[1]")


def test_where_one_fails_the_others_are_ended(launch):
    done = launch("--fail").wait()
    assert done.code == 3 and done.out.endswith("[0] saved\n"), done


def test_all_start_again_until_nothing_new_was_saved_so_often(launch):
    done = launch("--dies", restarts=2).wait()
    assert done.code == 137 and done.out.count("[0] flags") == 4, done
    # The first two deaths came after new checkpoints.
    again = re.findall(r"with 137: all start again from step (\d+), restart (\d) of 2 ", done.out)
    assert again == [("10", "1"), ("20", "1"), ("20", "2")]
    last = (
        "as after each of --restarts=2, and none of these has come to a checkpoint after step 20; see"
    )
    assert last in done.err and len(done.err.splitlines()) == 1


def test_a_flag_that_cannot_be_is_not_tried_again(launch):
    done = launch("--refuse", restarts=2).wait()
    assert done.code == 2 and "again" not in done.out, done


def test_sigterm_is_handed_on(launch):
    process = launch(restarts=2)
    process.wait_until(lambda: process.out.count("flags") == 2)
    process.send_signal(signal.SIGTERM)
    done = process.wait()
    said = "asked to end by SIGTERM: ends once its workers have ended"
    assert done.code == 143 and sorted(done.out.splitlines()[2:]) == ["[0] saved", "[1] saved", said]


def test_workers_do_not_outlive_it(launch, tmp_path):
    process = launch()
    process.wait_until(lambda: process.out.count("flags") == 2)
    process.kill()
    processes.wait_until(lambda: len([*tmp_path.glob("run.ended.*")]) == 2)
