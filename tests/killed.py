"""`python -m mocotf.train`, killed at a moment: killed.py MOMENT FLAG…

A moment is the number of a step that is about to be recorded; "retry", when a retry is about to be
noted, the later checkpoints being gone; or "retried", when the first step after it is to be recorded.
"""

import os
import runpy
import signal
import sys

from mocotf.training.metrics_log import Records
from mocotf.training.run_dir import RunDir

moment = sys.argv.pop(1)
write, forget_after = Records.write, RunDir.forget_after
retries = []


def die_at(here):
    if here == moment:
        os.kill(os.getpid(), signal.SIGKILL)


def write_or_die(records, record):
    die_at("retried" if retries else str(record["step"]))
    write(records, record)


def forget_or_die(run_dir, step, *new):
    if new:
        die_at("retry")
        retries.append(step)
    forget_after(run_dir, step, *new)


Records.write, RunDir.forget_after = write_or_die, forget_or_die
runpy.run_module("mocotf.train", run_name="__main__", alter_sys=True)
