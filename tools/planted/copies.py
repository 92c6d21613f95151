"""Copies of the repository in which tests run, each time in a process of their own.

That process is forked from one that has imported neither mocotf nor its tests, but, once `prepare` was
called, TensorFlow and pytest: so it starts at once, and reads the code as it is in the copy.
"""

import contextlib
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tools.planted.lists import NotUsableError

COPIED = ("mocotf", "tests", "tools", "flags", "docs", "pyproject.toml", "README.md", "Makefile")
PYTEST = ("-x", "-rf", "--tb=line", "-p", "no:cacheprovider", "-p", "no:xdist")
ELSEWHERE = 70  # exit code: the tests have imported mocotf, but not the copy's

_forks = multiprocessing.get_context("forkserver")


def prepare():
    """Has the process that others are forked from import what tests do, but the code in a copy."""
    # A process that ends at once leaves semaphores, of which the one that cleans up would tell.
    os.environ.setdefault("PYTHONWARNINGS", "ignore:resource_tracker:UserWarning")
    _forks.set_forkserver_preload(["tests.preload", "pytest", "torch", "scipy.stats"])


@contextlib.contextmanager
def copy_of(root):
    """Yields the path of a copy."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Path(folder).resolve()
        for name in COPIED:
            if (root / name).is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
                shutil.copytree(root / name, copy / name, ignore=ignored)
            else:
                shutil.copy(root / name, copy / name)
        yield copy


def run_tests(copy, tests, *, slow=False, timeout=None):
    """Returns pytest's exit code, None after `timeout` seconds, and what was printed.

    Args:
        copy: of the repository.
        tests: pytest's targets, in it.
        slow: run those too that are marked slow.
    """
    which = () if slow else ("-m", "not slow")
    with tempfile.NamedTemporaryFile("r") as out:
        process = _forks.Process(target=_pytest, args=(str(copy), [*PYTEST, *which, *tests], out.name))
        process.start()
        process.join(timeout)
        code = process.exitcode
        if code is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.join()
        printed = out.read()
    if code == ELSEWHERE:
        raise NotUsableError("in the copy, mocotf is imported from elsewhere")
    return code, printed


def _pytest(copy, arguments, out):
    """Becomes pytest in a copy."""
    os.setsid()
    for number in (1, 2):
        os.dup2(os.open(out, os.O_WRONLY | os.O_APPEND), number)
    os.chdir(copy)
    # Compiled files are told from stale ones by time and size, which a fault may leave alike.
    os.environ |= {"PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "500"}
    sys.dont_write_bytecode = True
    for name in ("PYTHONPATH", "PYTHONSAFEPATH", "PYTEST_ADDOPTS"):
        os.environ.pop(name, None)
    own = ("mocotf", "tests", "tools")
    for name in [name for name in sys.modules if name.partition(".")[0] in own]:
        del sys.modules[name]
    root = str(Path(__file__).resolve().parents[2])
    sys.path[:] = [copy, *(path for path in sys.path if path not in ("", root, f"{root}/tools"))]
    import pytest

    code = pytest.main(arguments)
    found = sys.modules.get("mocotf")
    if found and Path(found.__file__) != Path(copy, "mocotf", "__init__.py"):
        code = ELSEWHERE
    sys.stdout.flush()
    os._exit(code)
