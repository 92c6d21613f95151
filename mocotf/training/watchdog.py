"""Ends a worker that waits in vain for another, which is alive but stuck, for instance on its disk.

TensorFlow itself sees a worker that is dead or answers nothing. Its own limit of seconds for a
collective keeps a thread for each until they are over: at 15 collectives a step a process soon has
more threads than it may.
"""

import os
import sys
import threading


class Watchdog:
    """Ends the process with exit code 1 and one line if nothing is heard of it for too long.

    Args:
        seconds: how long that is; None for no watch.
    """

    def __init__(self, seconds):
        self._seconds, self._heard, self._left = seconds, threading.Event(), False

    def __enter__(self):
        if self._seconds is not None:
            self._thread = threading.Thread(target=self._watch, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_):
        if self._seconds is not None:
            self._left = True
            self._heard.set()
            self._thread.join()

    def hear(self):
        """Says that a step has ended, or, the first time, that from now on others are waited for."""
        self._heard.set()

    def _watch(self):
        self._heard.wait()  # each worker begins by itself, and takes as long as that takes
        while not self._left:
            if not self._heard.wait(self._seconds):
                sys.stderr.write(
                    f"error: no step has ended for --worker_timeout={self._seconds} s, so another "
                    "worker is stuck; end all, and start the same command on all of them, which "
                    "resumes the run\n"
                )
                sys.stderr.flush()
                os._exit(1)
            self._heard.clear()
