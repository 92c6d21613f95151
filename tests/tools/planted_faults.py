"""Targets that fail in every way that `tools/fuzz.py` is to find, tried as it tries its own: prints a
JSON object, target → what was found, and how many workers have started."""

import json
import os
import signal
import sys
import time

from mocotf.errors import UserError
from tools.fuzzing.hunt import Case
from tools.fuzzing.hunt import Limits
from tools.fuzzing.hunt import hunt
from tools.fuzzing.worker import Different

MB = 2**20
started = sys.argv[1]


def refuse(content):
    raise UserError("one line")


def complain(content):
    raise UserError("two\nlines")


def fail(content):
    return content[1]


def differ(content):
    raise Different("other pixels")


def crash(content):
    os.kill(os.getpid(), signal.SIGSEGV)


def work_on(content):
    while True:
        pass


def sleep(content):
    time.sleep(600)


def targets(step):
    with open(started, "a", encoding="utf-8") as file:
        file.write(".")

    def peak(content):
        with step("a step"):
            del content, [bytearray(b"1") * (60 * MB)][:]
        return "read"

    def peak_and_refuse(content):
        with step("a step"):
            del content, [bytearray(b"1") * (60 * MB)][:]
            raise UserError("one line")

    def eat(content):
        with step("a step"):
            kept = []
            while True:
                kept.append(bytearray(b"1") * MB)
                time.sleep(0.001)

    def read(content):
        with step("a step"):
            return "read"

    known = refuse, complain, fail, differ, crash, work_on, sleep, peak, peak_and_refuse, eat, read
    return {target.__name__: target for target in known}


names = [
    "read",
    "refuse",
    "complain",
    "fail",
    "differ",
    "crash",
    "work_on",
    "sleep",
    "peak",
    "peak_and_refuse",
    "eat",
    "read",
]
cases = [Case(number, name, "planted", b"1") for number, name in enumerate(names)]
limits = Limits(seconds=0.5, megabytes=50)
found = {verdict.case.target: verdict.outcome for verdict in hunt(cases, targets, limits)}
with open(started, encoding="utf-8") as file:
    print(json.dumps(found | {"workers": len(file.read())}))
