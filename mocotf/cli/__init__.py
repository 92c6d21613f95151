"""What commands are made of: flags, one-line errors, the JSON line."""

import contextlib
import ctypes
import gc
import os
import pathlib
import signal
import sys

from mocotf.errors import UserError
from mocotf.training import environment
from mocotf.training import termination

# absl::SetMinLogLevel of the version of absl that TensorFlow 2.21 is built with.
SET_MIN_LOG_LEVEL = "_ZN4absl12lts_2025081414SetMinLogLevelENS0_18LogSeverityAtLeastE"
FATAL = 3  # one above environment.ERRORS


def _import_tensorflow():
    """Imports TensorFlow and has it list its devices, with what it says of that kept off stderr."""
    try:
        environment.prepare()
    except UserError as error:
        if _is_program():
            sys.exit(f"error: {error}")
        raise
    # Keras would import scikit-learn, a quarter of the time that this takes, for wrappers of its own.
    loaded = sys.modules.setdefault("sklearn", None)
    gc.disable()  # it finds nothing in half a second of looking
    try:
        with environment.without_notices():
            import tensorflow as tf

            _hide_notices(tf)
            tf.config.list_physical_devices()
    finally:
        gc.enable()
        if loaded is None:
            del sys.modules["sklearn"]


def _hide_notices(tf):
    """Keeps off stderr what XLA and the GPU's libraries log, unless the user wants to see it.

    On a machine with a GPU errors too: TensorFlow logs one for whatever it reads of what XLA has
    compiled before. What goes wrong is raised as well.
    """
    if environment.log_level() < environment.ERRORS:
        return
    library = os.path.join(tf.sysconfig.get_lib(), "libtensorflow_cc.so.2")
    # Of another release it has another name: then there are more lines, and nothing else is different.
    with contextlib.suppress(OSError, AttributeError):
        hide = getattr(ctypes.CDLL(library), SET_MIN_LOG_LEVEL)
        hide(FATAL if os.path.exists(environment.DRIVER) else environment.ERRORS)


def _is_program():
    """Returns whether what runs is a command or a tool of mocotf, not a program that imports it."""
    program = getattr(sys.modules["__main__"], "__file__", None)
    package = pathlib.Path(__file__).parents[1]
    return program and pathlib.Path(program).parent in (package, package.parent / "tools")


if _is_program():
    for number in termination.ASKING:
        signal.signal(number, termination.end_at_once)
_import_tensorflow()
