"""SIGTERM and Ctrl-C: noted where there is something to save, else the end of the process at once."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from mocotf.training.termination import Termination

# The main thread is in C, which no handler of Python's interrupts.
BUSY = """
import hashlib, sys
from mocotf.training.termination import Termination
with Termination(saves={saves}) as termination:
    print("ready", flush=True)
    for _ in range({turns}):
        hashlib.pbkdf2_hmac("sha256", b"", b"", {work})
        if termination.requested:
            print(termination.words, termination.took, flush=True)
            sys.exit(termination.code)
"""


def start(**options):
    """Returns a process that has entered a `Termination`."""
    code = BUSY.format(**({"saves": True, "turns": 1, "work": 10**8} | options))
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


def end(process):
    """Returns (exit code, what it said) of a process, which is killed if it does not end in time."""
    late = threading.Timer(20, process.kill)
    late.start()
    said, _ = process.communicate()
    late.cancel()
    late.join()
    return process.returncode, said


@pytest.mark.parametrize(
    ("number", "word"), [("SIGTERM", "asked to end by SIGTERM"), ("SIGINT", "interrupted")]
)
def test_before_there_is_anything_to_save_the_process_ends_at_once(number, word):
    process = start(saves=False)
    process.send_signal(getattr(signal, number))
    expected = 128 + getattr(signal, number)
    assert end(process) == (
        expected,
        f"{word}, with nothing new to save; the same command starts again\n",
    )


CLEARING = """
import os, time
from mocotf.training.termination import Termination
with Termination():
    try:
        print("ready", flush=True)
        time.sleep(600)
    finally:
        os.write(1, b"cleared away\\n")  # in one piece
        time.sleep({seconds})
"""


@pytest.mark.parametrize("seconds", [0, 600])
def test_what_is_half_done_is_cleared_away_but_not_waited_for(seconds):
    command = [sys.executable, "-c", CLEARING.format(seconds=seconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    code, said = end(process)
    assert code == 143 and sorted(said.splitlines()) == [
        "asked to end by SIGTERM, with nothing new to save; the same command starts again",
        "cleared away",
    ]


NESTING = """
from mocotf.training.termination import Termination
with Termination():
    print("ready", flush=True)
    while True:
        with Termination():
            pass
"""


def test_it_may_be_asked_while_another_is_entered_or_left():
    for number in [signal.SIGINT, signal.SIGTERM] * 2:
        process = subprocess.Popen([sys.executable, "-c", NESTING], stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        code, said = end(process)
        assert code == 128 + number and said.count("with nothing new to save") == 1


def test_ctrl_c_is_noted_and_ends_the_process_at_once_the_second_time():
    process = start()
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "interrupted: ends after this step, once it is saved\n"
    process.send_signal(signal.SIGINT)
    assert end(process) == (130, "interrupted, once more, while it saves; the same command goes on\n")


def test_what_was_noted_is_for_the_process_to_act_on():
    process = start(turns=10**6, work=10**5)
    process.send_signal(signal.SIGTERM)
    code, said = end(process)
    assert code == 143 and said.endswith("asked to end by SIGTERM None\n")


def test_outside_of_it_signals_are_as_they_were():
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    threads = set(threading.enumerate())
    with Termination(saves=True) as termination:
        os.kill(os.getpid(), signal.SIGTERM)
        deadline = time.monotonic() + 5
        while not termination.requested and time.monotonic() < deadline:
            time.sleep(0.01)
        termination.took = 0.25
        assert (termination.words, termination.code) == ("asked to end by SIGTERM", 143)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    assert set(threading.enumerate()) <= threads  # those of others may have ended
    assert signal.set_wakeup_fd(-1) == -1


def test_a_thread_that_signals_do_not_reach_enters_it_too():
    seen = []

    def enter():
        with Termination() as termination:
            seen.append(termination.requested)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [None]


SOFT = """
import sys, time
from mocotf.training.termination import Termination, leaving_the_process
with leaving_the_process(), Termination(saves={saves}) as termination:
    try:
        print("ready", flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        print("left", termination.requested is not None, flush=True)
print("goes on", flush=True)
"""


@pytest.mark.parametrize(("saves", "interrupts"), [(False, 1), (True, 2)])
def test_a_notebook_outlives_an_interrupt(saves, interrupts):
    command = [sys.executable, "-c", SOFT.format(saves=saves)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    for number in range(interrupts):
        process.send_signal(signal.SIGINT)
        if saves and not number:
            assert "ends after this step" in process.stdout.readline()
            time.sleep(0.5)  # two signals at once are one to Python's main thread
    code, said = end(process)
    assert code == 0 and f"left {saves}\n" in said and said.endswith("goes on\n")
