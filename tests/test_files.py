"""Files of state: whole, locked on systems that lock in other ways too, and not where a link points."""

import concurrent.futures
import errno
import fcntl
import importlib.util
import os
import pathlib
import sys
import types

import pytest

from mocotf import files
from mocotf import json_files
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
    with lock(tmp_path / "lock", "in use"), pytest.raises(UserError, match="^in use$"):
        lock(tmp_path / "lock", "in use")
    with lock(tmp_path / "lock", "in use"):
        assert not caplog.messages


def test_what_cannot_be_locked_is_said_in_one_line(tmp_path, monkeypatch, caplog):
    elsewhere = files_where(monkeypatch, fcntl=None, msvcrt=None)
    elsewhere.lock(tmp_path / "lock", "in use").close()
    elsewhere = files_where(monkeypatch, fcntl=None, msvcrt=WINDOWS)  # which locks no folder
    with elsewhere.locked_folder(str(tmp_path), "in use"):
        pass
    expected = "cannot be locked here; let no other process write to it"
    assert caplog.messages == [f"{tmp_path / 'lock'}: {expected}", f"{tmp_path}: {expected}"]


def test_of_what_several_write_into_one_file_nothing_is_lost(tmp_path):
    path = tmp_path / "evaluation.json"

    def add(i):
        json_files.update_json(path, {f"top1_{i}": i, "of all": "the same"})

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        adding = [pool.submit(add, i) for i in range(100)]
    assert not [one.exception() for one in adding if one.exception()]
    found = json_files.read_json(path)
    assert found == {"of all": "the same"} | {f"top1_{i}": i for i in range(100)}
    assert [file.name for file in tmp_path.iterdir()] == ["evaluation.json"]


def test_what_a_link_points_to_is_not_written(tmp_path):
    other = tmp_path / "other"
    other.write_text("precious")
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("lock", "facts.json", "facts.json.partial"):
        (folder / name).symlink_to(other)
    with pytest.raises(UserError, match="lock: is a link; expected a file of this folder; remove it"):
        files.lock(folder / "lock", "in use")
    json_files.write_json(folder / "facts.json", {"images": 1})
    assert other.read_text() == "precious"
    assert json_files.read_json(folder / "facts.json") == {"images": 1}


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_takes_its_place_is_on_the_disk_before(tmp_path, monkeypatch, what):
    done = []
    real = {name: getattr(os, name) for name in ("fsync", "replace")}

    def fsync(handle):
        done.append(os.readlink(f"/proc/self/fd/{handle}").removeprefix(str(tmp_path)))
        real["fsync"](handle)

    def replace(old, new):
        done.append("replaced")
        real["replace"](old, new)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    with files.atomic_path(str(tmp_path / "it")) as partial:
        inner = pathlib.Path(partial)
        if what == "folder":
            inner.mkdir()
            inner /= "inner"
        inner.write_text("whole")
    synced = {"file": ["/it.partial"], "folder": ["/it.partial/inner", "/it.partial"]}[what]
    assert done == [*synced, "replaced", ""]
    done.clear()
    files.atomic_write(str(tmp_path / "other"), "whole")
    assert done == ["/other.partial", "replaced", ""]


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK])
def test_where_a_file_system_has_no_locks_a_warning_says_so(tmp_path, monkeypatch, caplog, number):
    def refuse(handle, how):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with files.lock(tmp_path / "lock", "in use"), files.locked_folder(tmp_path):
        assert len(caplog.messages) == 2 and "cannot be locked here" in caplog.text
