"""The processes that tests start: what they say, and that they end."""

import signal

import pytest

from tests import processes

PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""
# A file of tests of its own: one leaves a process behind, one fails beside a process, one hangs.
TESTS = """
import time
from tests import processes

def note(process):
    process.wait_until(lambda: process.out.endswith("\\n"))
    with open({pids!r}, "a") as file:
        print(process._process.pid, process.out.strip(), file=file)

def test_leaves_one():
    note(processes.python("-c", {parent!r}))

def test_fails_beside_one():
    note(processes.python("-c", {parent!r}))
    assert not processes.running

def test_hangs():
    note(processes.python("-c", {parent!r}))
    time.sleep(600)
"""


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_command_says_and_returns_what_it_does_when_a_user_starts_it():
    started = processes.python("-m", "mocotf.knn", "--quiet").wait()  # TensorFlow's start is not told
    assert processes.run("knn") == started


def test_waiting_has_an_end_and_ends_the_process_and_its_group():
    process = processes.python("-c", PARENT)
    process.wait_until(lambda: process.out.endswith("\n"))
    with pytest.raises(AssertionError, match="still running after 0.1 s"):
        process.wait(seconds=0.1)
    assert process.poll() == -signal.SIGKILL
    child = int(process.out)
    processes.wait_until(lambda: not alive(child), seconds=10)


def test_what_has_ended_is_not_waited_for():
    process = processes.python("-c", "print('done')")
    with pytest.raises(AssertionError, match="it has ended: .*done"):
        process.wait_until(lambda: False)


@pytest.mark.slow
def test_no_process_outlives_its_test_and_one_that_hangs_is_named(tmp_path):
    (tmp_path / "conftest.py").write_text("from tests.endings import *\n")
    (tmp_path / "test_it.py").write_text(TESTS.format(pids=str(tmp_path / "pids"), parent=PARENT))
    options = ["--timeout=5", "-n", "1", "-p", "no:cacheprovider", f"--rootdir={tmp_path}"]
    done = processes.python("-m", "pytest", *options, tmp_path).wait()
    assert done.code == 1, done
    assert "crashed while running 'test_it.py::test_hangs'" in done.out
    assert "1 passed" in done.out and "2 failed" in done.out
    started = [line.split() for line in (tmp_path / "pids").read_text().splitlines()]
    assert len(started) == 3
    for parent, child in started:
        assert not alive(parent) and not alive(child)


def test_what_has_the_number_of_one_that_has_ended_is_left_alone(monkeypatch):
    process = processes.python("-c", "pass")
    assert process.wait().code == 0
    killed = []
    monkeypatch.setattr(processes.os, "kill", lambda *arguments: killed.append(arguments))
    monkeypatch.setattr(processes.os, "killpg", lambda *arguments: killed.append(arguments))
    process.kill()
    assert killed == []
