"""What commands are made of: flags, one-line errors, the JSON line."""

import contextlib
import ctypes
import gc
import os
import pathlib
import signal
import sys
import tempfile

from mocotf.training import environment
from mocotf.training import termination

# absl::SetMinLogLevel of the version of absl that TensorFlow 2.21 is built with.
SET_MIN_LOG_LEVEL = "_ZN4absl12lts_2025081414SetMinLogLevelENS0_18LogSeverityAtLeastE"
ERRORS, FATAL = 2, 3  # absl counts from 0, information


def _import_tensorflow_quietly():
    """Imports TensorFlow without its notices on stderr, which no log level of its own silences.

    They are shown if the import fails.
    """
    environment.prepare()
    # Keras would import scikit-learn, a quarter of the time that this takes, for wrappers of its own.
    loaded = sys.modules.setdefault("sklearn", None)
    stderr = os.dup(2)
    wanted = True
    gc.disable()  # it finds nothing in half a second of looking
    with tempfile.TemporaryFile() as notices:
        os.dup2(notices.fileno(), 2)
        try:
            import tensorflow as tf

            _hide_notices(tf)
            tf.config.list_physical_devices()
            wanted = _log_level() < ERRORS
        finally:
            gc.enable()
            if loaded is None:
                del sys.modules["sklearn"]
            os.dup2(stderr, 2)
            os.close(stderr)
            if wanted:
                notices.seek(0)
                sys.stderr.write(notices.read().decode(errors="replace"))


def _hide_notices(tf):
    """Keeps off stderr what XLA and the GPU's libraries log, unless the user wants to see it.

    On a machine with a GPU errors too: TensorFlow logs one for whatever it reads of what XLA has
    compiled before. What goes wrong is raised as well.
    """
    if _log_level() < ERRORS:
        return
    library = os.path.join(tf.sysconfig.get_lib(), "libtensorflow_cc.so.2")
    # Of another release it has another name: then there are more lines, and nothing else is different.
    with contextlib.suppress(OSError, AttributeError):
        hide = getattr(ctypes.CDLL(library), SET_MIN_LOG_LEVEL)
        hide(FATAL if os.path.exists(environment.DRIVER) else ERRORS)


def _log_level():
    """Returns from which severity on TensorFlow is to log, as its environment variable says."""
    return int(os.environ["TF_CPP_MIN_LOG_LEVEL"] or 0)


def _is_program():
    """Returns whether what runs is a command or a tool of mocotf, not a program that imports it."""
    program = getattr(sys.modules["__main__"], "__file__", None)
    package = pathlib.Path(__file__).parents[1]
    return program and pathlib.Path(program).parent in (package, package.parent / "tools")


if _is_program():
    for number in termination.ASKING:
        signal.signal(number, termination.end_at_once)
_import_tensorflow_quietly()
