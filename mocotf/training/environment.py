"""How TensorFlow and XLA start: environment variables, of which a user's own stay in force; notices."""

import contextlib
import hashlib
import importlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import sys
import tempfile

from mocotf.errors import UserError

LOWEST, BEYOND = (3, 11), (3, 14)  # Pythons, as pyproject.toml has them for pip
DRIVER = "/proc/driver/nvidia/version"  # what Linux shows of NVIDIA's driver while it is loaded
CACHE_FLAGS = {
    # Of the step as it is compiled, and of how fast kernels were that XLA chose among.
    "TF_XLA_FLAGS": "--tf_xla_persistent_cache_directory",
    "XLA_FLAGS": "--xla_gpu_per_fusion_autotune_cache_dir",
}
# What a CPU compiles is read in less time than it takes to compile, but with complaints.
MORE_FLAGS = {"TF_XLA_FLAGS": ("--tf_xla_persistent_cache_device_types=GPU",)}

ERRORS = 2  # of TF_CPP_MIN_LOG_LEVEL, which counts from 0, information
# A line of TensorFlow's log, of one before 2.21 too, and what precedes the first.
NOTICE = re.compile(
    rb"[IWE]\d{4} \d\d:\d\d:|\d{4}-\d\d-\d\d \S+: [IWE] |WARNING: All log messages before absl::Init"
)


def prepare():
    """Sets what this machine is faster with; call it before TensorFlow is imported.

    Raises:
        UserError: mocotf is not made for this Python, or there is no TensorFlow.
    """
    python = f"Python {sys.version_info[0]}.{sys.version_info[1]} ({sys.executable})"
    if not LOWEST <= sys.version_info < BEYOND:
        raise UserError(f"{python}: expected 3.11 to 3.13; try: python3.12 -m venv .venv")
    if importlib.util.find_spec("tensorflow") is None:
        raise UserError(f"{python} has no TensorFlow; try: pip install . or .venv/bin/python")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if platform.machine() == "x86_64":
        # TensorFlow leaves oneDNN out on CPUs without AVX-512, where it is faster too.
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    if os.path.exists(DRIVER):
        # Batch norm without XLA: else TensorFlow turns each image's channels first, and back.
        os.environ.setdefault("TF_USE_CUDNN_BATCHNORM_SPATIAL_PERSISTENT", "1")
    keep_compiled()


@contextlib.contextmanager
def without_notices():
    """Keeps off stderr what TensorFlow logs while it is imported, whatever its log level is.

    All is shown, at the end, if that fails or the user's log level asks for more than errors. What is
    no line of that log, as another thread's, is shown in any case.
    """
    try:
        stderr = os.dup(2)
    except OSError:  # closed, as a daemon's: nobody sees any
        yield
        return
    hidden = None
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        try:
            yield
            hidden = NOTICE if log_level() >= ERRORS else None
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            written.seek(0)
            for line in written:
                if not (hidden and hidden.match(line)):
                    os.write(2, line)


def list_devices():
    """Imports TensorFlow, and has it list its devices, with what it says of both kept off stderr."""
    with without_notices():
        importlib.import_module("tensorflow").config.list_physical_devices()


def log_level():
    """Returns from which severity on TensorFlow is to log, as its environment variable says."""
    level = os.environ["TF_CPP_MIN_LOG_LEVEL"]
    return int(level) if level.isdecimal() else 0


def keep_compiled():
    """Has XLA keep what it compiles for GPUs, and read it when it is to compile the same again.

    TensorFlow's part of this is fixed when it lists its devices, XLA's when it first compiles.
    """
    if not os.path.exists(DRIVER):
        return
    folder = cache_folder()
    if " " in folder:
        return  # XLA would take it for the end of a flag
    for variable, flag in CACHE_FLAGS.items():
        given = os.environ.get(variable, "").split()
        if any(text.startswith(f"{flag}=") for text in given):
            continue
        part = os.path.join(folder, variable.lower())
        try:
            os.makedirs(part, exist_ok=True)
        except OSError:
            continue  # it is compiled each time
        if os.access(part, os.W_OK):  # XLA takes a file that it cannot write for a failure to compile
            os.environ[variable] = " ".join([*given, f"{flag}={part}", *MORE_FLAGS.get(variable, ())])


def cache_folder():
    """Returns the folder of what was compiled by this TensorFlow, with these flags, for this driver and
    this kind of GPU."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    names = [f"tensorflow-{importlib.metadata.version('tensorflow')}", *sorted(_driver_and_gpus())]
    # A program is not looked up by the flags that it was compiled with.
    flags = [t for t in os.environ.get("XLA_FLAGS", "").split() if CACHE_FLAGS["XLA_FLAGS"] not in t]
    if flags:
        names.append(hashlib.sha256(" ".join(flags).encode()).hexdigest()[:12])
    return os.path.join(home, "mocotf", "xla", re.sub(r"[^\w.+-]+", "-", "+".join(names)))


def _driver_and_gpus():
    """Returns the version of NVIDIA's driver and the names of its GPUs, each once."""
    folder = os.path.dirname(DRIVER)
    found = set()
    if os.path.exists(DRIVER):
        with open(DRIVER, encoding="utf-8", errors="replace") as file:
            found.update(re.findall(r"\s(\d+\.\d+[.\d]*)\s", file.readline())[:1])
    gpus = os.path.join(folder, "gpus")
    for gpu in os.listdir(gpus) if os.path.isdir(gpus) else []:
        with open(os.path.join(gpus, gpu, "information"), encoding="utf-8", errors="replace") as file:
            found.update(re.findall(r"Model:\s*(.+)", file.read()))
    return found
