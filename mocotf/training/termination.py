"""SIGTERM, by which clusters ask a process to end some seconds before they end it, and Ctrl-C."""

import contextlib
import contextvars
import os
import signal
import socket
import sys
import threading

from mocotf import terminal

ASKING = signal.SIGTERM, signal.SIGINT
WORDS = {signal.SIGTERM: "asked to end by SIGTERM", signal.SIGINT: "interrupted"}
IDLE = "with nothing new to save; the same command starts again"
_ends_process = contextvars.ContextVar("ends_process", default=True)
_nested = []  # those entered in the main thread, the outermost first
PATIENCE = 1.5  # seconds for the main thread to clear away what it has half done


class Termination:
    """Takes note of SIGTERM and Ctrl-C while it is entered, instead of the process's ending somewhere.

    Where there is nothing to save yet, the main thread gets a KeyboardInterrupt, and the process ends
    when that leaves this, or after `PATIENCE`; where Ctrl-C comes again, at once. A thread ends it:
    Python itself acts on a signal when its main thread is back from what it computes, and that may be
    compiling for minutes. They may be nested: the inner one is in force, and has the handlers and the
    thread of the outermost, so that no moment between two of them has neither.

    Args:
        saves: see the attribute.
        ends: when a process ends that has something to save, a phrase.
        idle: how things stand where there is nothing to save, a phrase.

    Attributes:
        requested: the signal that came, None before one does.
        saves: whether there is something to save.
        took: seconds that the last save took, None where there was none.
    """

    def __init__(self, saves=False, ends="ends after this step, once it is saved", idle=IDLE):
        self.requested, self.saves, self.took = None, saves, None
        self._ends, self._idle = ends, idle
        self._soft = () if _ends_process.get() else (signal.SIGINT,)
        self._interrupts = 0

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():  # signals are not for others
            _nested.append(self)
            if self is _nested[0]:
                self._listen()
        return self

    def __exit__(self, *_):
        if self in _nested:
            if self is _nested[0]:
                self._stop_listening()
            del _nested[_nested.index(self) :]

    def _listen(self):
        self._told, self._tells = socket.socketpair()  # Windows takes no pipe
        self._tells.setblocking(False)
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        self._before = signal.set_wakeup_fd(self._tells.fileno(), warn_on_full_buffer=False)
        self._handlers = {number: signal.signal(number, self._interrupt) for number in ASKING}

    def _stop_listening(self):
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._before)
        self._tells.send(b"\0")
        self._watcher.join()
        self._tells.close()
        self._told.close()

    @property
    def words(self):
        """What the request was, a phrase."""
        return WORDS[self.requested]

    @property
    def code(self):
        """The exit code that tells of the request, as a shell has it."""
        return 128 + self.requested

    def _interrupt(self, number, _):
        innermost = _nested[-1]
        innermost._interrupts += number in innermost._soft
        if not innermost.saves or innermost._interrupts > 1:
            raise KeyboardInterrupt(number)

    def _watch(self):
        while (number := self._told.recv(1)[0]) in ASKING:
            if _nested[-1]._ends_now(number):
                self._told.settimeout(PATIENCE)
                with contextlib.suppress(TimeoutError):
                    self._told.recv(1)  # from `_stop_listening`; or it is asked again
                terminal.close()
                os._exit(128 + number)

    def _ends_now(self, number):
        """Notes a signal; returns whether the process ends as soon as what is half done is cleared."""
        again = self.requested and number == signal.SIGINT
        self.requested = self.requested or signal.Signals(number)
        if again:
            _say(f"{WORDS[number]}, once more, while it saves; the same command goes on")
            if number not in self._soft:
                terminal.close()
                os._exit(128 + number)
        elif number in self._soft and not self.saves:
            self.requested = None  # whoever runs this gets a KeyboardInterrupt, and may go on
        elif not self.saves:
            _say(f"{WORDS[number]}, {self._idle}")
            return True
        else:
            took = f", which took {self.took:.1f} s the last time" if self.took is not None else ""
            _say(f"{self.words}: {self._ends}{took}")
        return False


def exit_code(interrupt):
    """Returns the exit code that tells of a KeyboardInterrupt: of SIGTERM, or of Ctrl-C."""
    return 128 + (interrupt.args or (signal.SIGINT,))[0]


@contextlib.contextmanager
def leaving_the_process():
    """Has Ctrl-C never end the process inside, as in a notebook; where there is nothing to save, and
    where it comes again, it is a KeyboardInterrupt."""
    token = _ends_process.set(False)
    try:
        yield
    finally:
        _ends_process.reset(token)


def listen_again():
    """Has SIGTERM come to Python again: TensorFlow takes it for itself where it begins as a worker."""
    if _nested and threading.current_thread() is threading.main_thread():
        for number in ASKING:
            signal.signal(number, signal.getsignal(number))


def end_at_once(number, _):
    """A handler of signals, for a program that has done nothing yet."""
    terminal.close()
    _say(f"{WORDS[number]}, {IDLE}")
    os._exit(128 + number)


def _say(line):
    sys.stdout.write(f"{line}\n")  # in one piece, whatever the main thread prints meanwhile
    sys.stdout.flush()
