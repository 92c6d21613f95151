"""What both sides of tools/benchmark_step.py share; imports nothing that the peers' Python may lack."""

import json
import os
import sys
import time


def serve(requests):
    """Answers each line of standard input, `NAME` or `NAME COUNT`, by what requests[NAME] returns.

    What a library prints meanwhile goes to stderr.
    """
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        for line in sys.stdin:
            name, *count = line.split()
            print(json.dumps(requests[name](*map(int, count))), file=answers, flush=True)


def seconds(work, times=1, settle=lambda: None):
    """Returns how long `work()` took, so many times, until `settle()` has returned.

    Args:
        settle: waits for what the work has only been asked of a device.
    """
    start = time.perf_counter()
    for _ in range(times):
        work()
    settle()
    return time.perf_counter() - start


def resident_mb(field="VmRSS"):
    """Returns this process's resident memory, MB (10⁶ bytes): VmRSS now, VmHWM at its peak."""
    with open("/proc/self/status", encoding="utf-8") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024 / 1e6
