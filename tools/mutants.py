"""Checks the tests against the faults that ports of MoCo have: each must make a quick test fail.

    python tools/mutants.py
    python tools/mutants.py --only=ema-swapped,shuffle-off

The faults are in tests/**/mutants.txt; tools/planted/lists.py says how they are written. Each is
made alone, in a copy of the repository, and then its tests are run. An assertion that fails has caught
it, and so has a time-out.

Exit code: 0 all faults caught, 1 some missed, 2 a list does not fit the code, the tests fail without a
fault, or a fault makes them crash.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import argparse
import concurrent.futures
import contextlib
import json
import queue
import re
import signal
import time
from pathlib import Path

from tools.planted import lists
from tools.planted.copies import copy_of
from tools.planted.copies import prepare
from tools.planted.copies import run_tests
from tools.planted.lists import NotUsableError

ROOT = Path(__file__).resolve().parents[1]
PASSED, FAILED = 0, 1  # exit codes of pytest; every other is no verdict


def run_baseline(pool, copies, mutants):
    """Runs all tests of the mutants without a fault, those of a file in one process."""
    started = time.perf_counter()
    files = {}
    for mutant in mutants:
        for test in mutant.tests:
            files.setdefault((test.partition("::")[0], mutant.slow), set()).add(test)
    for (file, slow), tests in files.items():
        if file in tests:
            files[file, slow] = {file}

    def run(item):
        (_, slow), tests = item
        with borrowed(copies) as copy:
            return run_tests(copy, sorted(tests), slow=slow)

    for code, printed in pool.map(run, files.items()):
        if code != PASSED:
            raise NotUsableError(f"the tests do not pass without a fault:\n{printed[-3000:]}")
    print(f"baseline {time.perf_counter() - started:6.1f} s  {len(files)} files pass", flush=True)


def run_mutant(copy, mutant, timeout):
    """Returns whether the fault was caught, and how."""
    path = copy / mutant.file
    text = path.read_text(encoding="utf-8")
    path.write_text(mutant.applied_to(text), encoding="utf-8")
    try:
        code, printed = run_tests(copy, mutant.tests, slow=mutant.slow, timeout=timeout)
    finally:
        path.write_text(text, encoding="utf-8")
    if code is None:
        return True, f"by the time-out of {timeout:g} s"
    if code == PASSED:
        return False, ""
    failed = re.search(r"^FAILED (.+) - (AssertionError|assert |Failed:)", printed, re.MULTILINE)
    if code != FAILED or not failed:
        raise NotUsableError(
            f"mutant {mutant.name}: no assertion fails, the tests crash:\n{printed[-3000:]}"
        )
    return True, f"by {failed[1]}"


@contextlib.contextmanager
def borrowed(copies):
    """Yields a copy that nobody else uses meanwhile."""
    copy = copies.get()
    try:
        yield copy
    finally:
        copies.put(copy)


def run(mutants, arguments):
    """Runs the mutants, prints what became of each, and returns the names of those missed."""
    missed, crashed, begun = [], [], time.perf_counter()
    width = max(len(mutant.name) for mutant in mutants)

    def attempt(mutant):
        with borrowed(copies) as copy:
            started = time.perf_counter()
            try:
                caught, how = run_mutant(copy, mutant, arguments.timeout)
            except NotUsableError as error:
                caught, how = None, str(error)
            return mutant, caught, how, time.perf_counter() - started

    with contextlib.ExitStack() as stack:
        copies = queue.SimpleQueue()
        for _ in range(arguments.jobs):
            copies.put(stack.enter_context(copy_of(ROOT)))
        pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(arguments.jobs))
        stack.callback(pool.shutdown, cancel_futures=True)
        if not arguments.no_baseline:
            run_baseline(pool, copies, mutants)
        for mutant, caught, how, seconds in pool.map(attempt, mutants):
            verdict = {True: "caught", False: "missed", None: "crashed"}[caught]
            if caught is False:
                missed.append(mutant.name)
            elif caught is None:
                crashed.append(how)
                how = ""
            print(f"{verdict:<7} {seconds:6.1f} s  {mutant.name:<{width}}  {how}".rstrip(), flush=True)
    print(
        f"{len(mutants) - len(missed) - len(crashed)} of {len(mutants)} mutants caught"
        f" in {time.perf_counter() - begun:.0f} s{': missed ' if missed else ''}{', '.join(missed)}"
    )
    if crashed:
        raise NotUsableError("\n".join(crashed))
    return missed


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="NAME,NAME", help="these mutants only")
    parser.add_argument("--list", action="store_true", help="list the mutants and stop")
    parser.add_argument(
        "--check", action="store_true", help="check the lists against the code and stop"
    )
    parser.add_argument(
        "--no-baseline", action="store_true", help="do not run the tests without a fault"
    )
    parser.add_argument("--timeout", type=float, default=300, help="seconds a mutant may take (300)")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count(), help="mutants at a time (one a core)"
    )
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    return parser.parse_args()


def main():
    arguments = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the copies are removed
    try:
        mutants = lists.chosen(lists.read_all(ROOT), arguments.only and arguments.only.split(","))
        if arguments.list:
            width = max(len(mutant.name) for mutant in mutants)
            for mutant in mutants:
                print(f"{mutant.name:<{width}}  {mutant.fault}")
            return 0
        lists.check(mutants, ROOT)
        if arguments.check:
            print(f"{len(mutants)} mutants fit the code")
            return 0
        prepare()
        missed = run(mutants, arguments)
    except NotUsableError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if arguments.json:
        slow = sum(mutant.slow for mutant in mutants)
        print(json.dumps({"mutants": len(mutants), "missed": missed, "by_slow_tests": slow}))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
