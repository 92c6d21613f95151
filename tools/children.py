"""Runs of mocotf.train as processes that end with the one that starts them."""

import ctypes
import signal
import subprocess
import sys

TRAIN = [sys.executable, "-m", "mocotf.train"]
PR_SET_PDEATHSIG = 1  # prctl(2)
_prctl = getattr(ctypes.CDLL(None), "prctl", None)  # of Linux only


def start(arguments, **options):
    """Returns a new run, a `subprocess.Popen` of these options, its errors among its output.

    It has a session of its own, so that Ctrl-C reaches it by this process only. Where this process is
    killed, Linux asks the run to end, by SIGTERM; elsewhere it goes on.
    """
    return subprocess.Popen(
        [*TRAIN, *arguments],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=_end_with_parent,
        **options,
    )


def _end_with_parent():
    if _prctl:
        _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
