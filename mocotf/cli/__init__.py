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

# absl::SetMinLogLevel of the versions of absl that TensorFlow 2.20 and 2.21 are built with.
SET_MIN_LOG_LEVEL = [
    f"_ZN4absl12lts_{version}14SetMinLogLevelENS0_18LogSeverityAtLeastE"
    for version in (20250127, 20250814)
]
FATAL = 3  # one above environment.ERRORS
PACKAGE = pathlib.Path(__file__).parents[1]
PROGRAMS = PACKAGE, PACKAGE.parent / "tools"  # commands and tools, not what imports mocotf


def _place_of_program():
    """Returns the folder of the program that runs; None of what is typed in."""
    program = getattr(sys.modules["__main__"], "__file__", None)
    return program and pathlib.Path(program).parent


try:
    environment.prepare()
except UserError as error:
    if _place_of_program() in PROGRAMS:
        sys.exit(f"error: {error}")
    raise

# These want a package that comes with TensorFlow.
from mocotf import streams  # noqa: E402
from mocotf import terminal  # noqa: E402
from mocotf.training import termination  # noqa: E402


def _import_tensorflow():
    """Imports TensorFlow and has it list its devices, with what it says of that kept off stderr."""
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
    severity = FATAL if os.path.exists(environment.DRIVER) else environment.ERRORS
    # Of another release it has another name: then there are more lines, and nothing else is different.
    with contextlib.suppress(OSError):
        library = ctypes.CDLL(os.path.join(tf.sysconfig.get_lib(), "libtensorflow_cc.so.2"))
        for name in SET_MIN_LOG_LEVEL:
            if hasattr(library, name):
                library[name](severity)


def _begin_command():
    """Has a command say something at once, before what it asks for is known."""
    if "--quiet" in sys.argv:
        terminal.hush()
        return
    terminal.begin()
    if not (terminal.is_live() or "--json" in sys.argv or "tensorflow" in sys.modules):
        print("starting TensorFlow", file=sys.stderr, flush=True)


if _place_of_program() in PROGRAMS:
    streams.open_closed()
    for number in termination.ASKING:
        signal.signal(number, termination.end_at_once)
if _place_of_program() == PACKAGE:
    _begin_command()
with terminal.phase("starting TensorFlow", shown=terminal.is_live()):
    _import_tensorflow()
