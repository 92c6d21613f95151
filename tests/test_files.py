"""Locks of files, on systems that lock in other ways too."""

import fcntl
import importlib.util
import sys
import types

import pytest

from mocotf import files
from mocotf.errors import UserError


def files_where(monkeypatch, **modules):
    """Returns mocotf.files as it is where these modules are; None for one that is not there."""
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    spec = importlib.util.spec_from_file_location("files_elsewhere", files.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def windows_lock(number, mode, size):
    """Locks as msvcrt.locking does, which fails with another error than flock."""
    assert (mode, size) == (2, 1)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise PermissionError(*error.args) from error


WINDOWS = types.SimpleNamespace(LK_NBLCK=2, locking=windows_lock)


@pytest.mark.parametrize("modules", [{}, {"fcntl": None, "msvcrt": WINDOWS}], ids=["unix", "windows"])
def test_one_process_at_a_time_has_a_lock(tmp_path, monkeypatch, caplog, modules):
    lock = files_where(monkeypatch, **modules).lock
    with open(tmp_path / "lock", "w") as first, open(tmp_path / "lock", "w") as second:
        assert lock(first, "in use") is first
        with pytest.raises(UserError, match="^in use$"):
            lock(second, "in use")
        first.close()
        lock(second, "in use")
    assert not caplog.messages


def test_what_cannot_be_locked_is_said_in_one_line(tmp_path, monkeypatch, caplog):
    elsewhere = files_where(monkeypatch, fcntl=None, msvcrt=None)
    with open(tmp_path / "lock", "w") as file:
        assert elsewhere.lock(file, "in use") is file
    elsewhere = files_where(monkeypatch, fcntl=None, msvcrt=WINDOWS)  # which locks no folder
    with elsewhere.locked_folder(str(tmp_path), "in use"):
        pass
    expected = "cannot be locked on this system; let no other process write to it"
    assert caplog.messages == [f"{tmp_path / 'lock'}: {expected}", f"{tmp_path}: {expected}"]
