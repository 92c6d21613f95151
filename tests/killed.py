"""`python -m mocotf.train`, killed when a step is about to be recorded: killed.py STEP FLAG…"""

import os
import runpy
import signal
import sys

from mocotf.training.metrics_log import Records

step = int(sys.argv.pop(1))
write = Records.write


def write_or_die(records, record):
    if record["step"] == step:
        os.kill(os.getpid(), signal.SIGKILL)
    write(records, record)


Records.write = write_or_die
runpy.run_module("mocotf.train", run_name="__main__", alter_sys=True)
