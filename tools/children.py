"""Processes that end with the one that starts them."""

import ctypes
import os
import signal
import subprocess
import sys

TRAIN = [sys.executable, "-m", "mocotf.train"]
PR_SET_PDEATHSIG = 1  # prctl(2)
_prctl = getattr(ctypes.CDLL(None), "prctl", None)  # of Linux only


def start(arguments, cores=None, **options):
    """Returns a new run, a `subprocess.Popen` of these options, its errors among its output.

    It has a session of its own, so that Ctrl-C reaches it by this process only. It sees `cores`, a set
    of their numbers; None: all.
    """

    def prepare():
        end_with_parent()
        if cores:
            os.sched_setaffinity(0, cores)

    return subprocess.Popen(
        [*TRAIN, *arguments],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=prepare,
        **options,
    )


def end_with_parent():
    """Has Linux ask this process to end, by SIGTERM, where its parent is killed; elsewhere it goes on.

    For `preexec_fn` of `subprocess.Popen`, in a thread that waits for the process.
    """
    if _prctl:
        _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
