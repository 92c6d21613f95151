"""SIGTERM: how clusters ask a process to end, some seconds before they end it."""

import signal


class Termination:
    """Takes note of SIGTERM, instead of the process's ending at once.

    Attributes:
        requested: whether it came.
    """

    def __init__(self):
        self.requested = False
        signal.signal(signal.SIGTERM, self._note)

    def _note(self, *_):
        self.requested = True
