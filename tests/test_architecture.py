"""Rooms import from those above them only, commands and `cli` know flags, docs have all settings and
what kernels were measured to give, git has nothing that is made."""

import ast
import pathlib
import re
import subprocess

import pytest

from mocotf.nn.kernels import policy
from tests.processes import ROOT
from tools import settings_table

PACKAGE = pathlib.Path(ROOT, "mocotf")


def order():
    """Returns the rooms in the order of docs/internals/architecture.md."""
    text = pathlib.Path(ROOT, "docs/internals/architecture.md").read_text(encoding="utf-8")
    return re.findall(r"^(\w+) ", text.split("```")[1], re.MULTILINE)


def room_of(name, rooms):
    """Returns the room of a module, as "mocotf.nn.resnet"."""
    first = name.split(".")[1]
    return first if first in rooms else "commands"


def imports(path):
    """Yields the names of the modules of mocotf that a file imports, in functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mocotf"):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_no_room_imports_from_below():
    rooms = order()
    assert {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()} <= set(rooms)
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if name == "mocotf.__init__":
            continue
        own = rooms.index(room_of(name, rooms))
        wrong += [(name, i) for i in imports(path) if rooms.index(room_of(i, rooms)) > own]
    assert wrong == []


def test_bazel_knows_which_rooms_a_room_imports():
    rooms = {path.parent.name: path for path in PACKAGE.glob("*/BUILD")}
    for room, build in rooms.items():
        named = (i.split(".")[1] for path in build.parent.rglob("*.py") for i in imports(path))
        declared = re.findall(r'"//mocotf/(\w+)"', build.read_text(encoding="utf-8"))
        assert {*declared} == {*named} & rooms.keys() - {room}, build


def test_only_commands_and_cli_read_flags_and_nobody_writes_them():
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if path.parent not in (PACKAGE, PACKAGE / "cli"):
            assert "absl" not in re.findall(r"^from (\w+) import flags", text, re.MULTILINE), path
        assert not re.search(r"FLAGS(\.\w+|\[.+\]\.value) = ", text), path


def test_the_document_of_settings_is_what_they_declare():
    text = pathlib.Path(ROOT, "docs/reference/settings.md").read_text(encoding="utf-8")
    assert text == settings_table.table(), "python tools/settings_table.py > docs/reference/settings.md"


def test_each_kernel_is_there_for_what_was_measured():
    text = pathlib.Path(ROOT, "docs/internals/performance.md").read_text(encoding="utf-8")
    for entry, measured in policy.ENTRIES.items():
        (row,) = re.findall(rf"^\| `{entry}` \|.*", text, re.MULTILINE)
        assert measured in row


@pytest.mark.skipif(not pathlib.Path(ROOT, ".git").exists(), reason="no clone of git")
def test_nothing_is_kept_that_git_is_told_to_leave_out():
    command = ["git", "ls-files", "--cached", "--ignored", "--exclude-standard"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout == ""
