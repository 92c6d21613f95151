"""What is installed with mocotf: ranges of what it imports, extras, and what is said without them."""

import ast
import functools
import importlib.metadata
import pathlib
import re
import sys
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mocotf import extras
from mocotf.errors import UserError
from mocotf.training import environment
from tests import processes
from tests.processes import ROOT

PROJECT = tomllib.loads(pathlib.Path(ROOT, "pyproject.toml").read_text(encoding="utf-8"))["project"]
OF_EXTRAS = {module for modules in extras.MODULES.values() for module in modules}
TRACKERS = {"mlflow", "wandb"}  # which another environment has: tests/test_trackers.py
APART = TRACKERS | {"docs"}
# Imported once `extras.require` has found what they import.
BEHIND = {
    "data/sources/columns.py", "data/sources/hf_parts.py", "data/sources/tfds.py",
    "data/views/dicom.py", "data/views/other_formats.py", "image_search/index.py",
    "serving/warmup.py", "transfer/coco_scores.py", "transfer/detector.py",
    "transfer/tfds_masked.py", "transfer/tfds_scenes.py",
}  # fmt: skip


def needed(extra=None):
    """Returns name → `Requirement` of what mocotf needs, or an extra of it."""
    lines = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    return {canonicalize_name(one.name): one for one in map(Requirement, lines)}


def pins(name):
    """Yields the `Requirement`s of a file."""
    for line in pathlib.Path(ROOT, name).read_text(encoding="utf-8").splitlines():
        if "==" in line:
            yield Requirement(line.partition(" #")[0])


# It reads the list of files of every package that is installed, TensorFlow's too.
packages_distributions = functools.cache(importlib.metadata.packages_distributions)


def distributions(module):
    """Returns the names of the packages that a module is of, as far as they are installed."""
    return {canonicalize_name(n) for n in packages_distributions().get(module, ())}


def imported(path):
    """Yields the names of the packages that a file imports by a statement."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.partition(".")[0]


def test_what_is_imported_is_needed_by_pyproject_or_an_extra_that_is_looked_for():
    known = needed().keys() | {"tensorflow"}
    for path in pathlib.Path(ROOT, "mocotf").rglob("*.py"):
        name = path.relative_to(pathlib.Path(ROOT, "mocotf")).as_posix()
        for module in set(imported(path)) - sys.stdlib_module_names - {"mocotf"}:
            if module in OF_EXTRAS:
                assert name in BEHIND, f"{name}: {module} is of an extra; import it by extras.require"
            else:
                assert distributions(module) & known, (
                    f"{name}: {module} is of no package in pyproject.toml"
                )


@pytest.mark.parametrize("extra", sorted(extras.MODULES.keys() - TRACKERS))
def test_an_extra_has_the_packages_that_are_imported_of_it(extra):
    for module in extras.MODULES[extra]:
        known = distributions(module)
        assert known & needed(extra).keys(), f"{module} is of {known}"


def test_all_extras_are_told_and_all_has_them():
    (everything,) = needed("all").values()
    assert everything.extras | APART == PROJECT["optional-dependencies"].keys() - {"all"}
    assert everything.extras | TRACKERS == extras.MODULES.keys()
    assert not everything.extras & APART


@pytest.mark.parametrize("module", sorted(OF_EXTRAS))
def test_an_extra_that_is_missing_is_told_in_one_line_with_the_command(monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    (extra,) = (name for name, modules in extras.MODULES.items() if module in modules)
    with pytest.raises(UserError) as error:
        extras.require(f"{module}.inner", "--to=a")
    line = rf"--to=a: {module} is not installed; try: pip install '(mocotf|\.)\[{extra}\]'"
    assert re.fullmatch(line, str(error.value))
    assert not extras.is_installed(module)


def test_an_extra_that_is_broken_is_not_said_to_be_missing(tmp_path, monkeypatch):
    (tmp_path / "pyarrow.py").write_text("raise ImportError('libarrow.so: no such file\\nand more')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pyarrow", raising=False)
    with pytest.raises(
        UserError, match=r"^x: pyarrow cannot be imported \(libarrow.so: no such file\); try"
    ):
        extras.require("pyarrow", "x")


def test_a_folder_of_a_name_is_no_package(tmp_path, monkeypatch):
    (tmp_path / "pillow_heif").mkdir()
    monkeypatch.delitem(sys.modules, "pillow_heif", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert not extras.is_installed("pillow_heif")


def test_ranges_begin_with_what_was_tested_and_hold_the_pins():
    ranges = needed()
    for extra in PROJECT["optional-dependencies"].keys() - {"all"}:
        ranges |= needed(extra)
    oldest = {
        canonicalize_name(pin.name): str(pin.specifier)[2:]
        for file in ("requirements-docs.txt", "requirements-trackers.txt", "requirements-oldest.txt")
        for pin in pins(file)
    }
    for name, one in ranges.items():
        assert f">={oldest[name]}" in str(one.specifier).split(","), one
    for file in ("requirements.txt", "requirements-dev.txt", "requirements-transfer.txt"):
        for pin in pins(file):
            one = ranges.get(canonicalize_name(pin.name), pin)
            assert one.specifier.contains(str(pin.specifier)[2:]), f"{file}: {pin} is not in {one}"


def test_other_pythons_are_refused_by_pip_and_make_and_commands_alike():
    makefile = pathlib.Path(ROOT, "Makefile").read_text(encoding="utf-8")
    low, high = re.search(r"\((3, \d+)\) <= sys.version_info < \((3, \d+)\)", makefile).groups()
    assert PROJECT["requires-python"] == f">={low},<{high}".replace(", ", ".")
    assert (str(environment.LOWEST), str(environment.BEYOND)) == (f"({low})", f"({high})")


@pytest.mark.parametrize("version", [(3, 10, 13), (3, 14, 0)])
def test_another_python_is_one_line(monkeypatch, version):
    monkeypatch.setattr(sys, "version_info", version)
    with pytest.raises(
        UserError, match=rf"^Python 3.{version[1]} \(.*\): expected 3.11 to 3.13; try: .*$"
    ):
        environment.prepare()


def test_no_tensorflow_is_one_line_and_makes_no_command_a_traceback():
    bare = processes.python("-S", "-m", "mocotf.knn").wait()
    assert bare.code == 1 and re.fullmatch(r"error: Python .* has no TensorFlow; try: .*\n", bare.err)
    bare = processes.python("-S", "-c", "import mocotf; mocotf.MoCo").wait()
    assert bare.err.splitlines()[-1].startswith("mocotf.errors.UserError: Python ")
