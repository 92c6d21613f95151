"""Types of the public names: all are there, and a checker sees them through the module that is lazy."""

import inspect
import re
import subprocess
import sys

import pytest

import mocotf
from tests.processes import ROOT

# What a user writes, and the types that it has.
USE = {
    'mocotf.pretrain("photos", "runs/mine", recipe="v2", epochs=2)': "mocotf.api.python.PretrainedRun",
    'mocotf.PretrainedRun("runs/mine").metrics': "list[dict[Any, Any]]",
    'mocotf.PretrainedRun("runs/mine").verdict': "str | None",
    'mocotf.PretrainedRun("runs/mine").embed("photos")[0]': "list[str]",
    "mocotf.MoCo(lambda: backbone, K=4096, T=0.2)": "mocotf.moco.model.MoCo",
}
WRONG = ['mocotf.MoCo(backbone, K="many")', "mocotf.PretrainedRun(3)", "mocotf.pretrain(recipe=2)"]


def functions():
    """Yields (name, function) of the public functions, and of the public classes' public methods."""
    for name in mocotf.__all__:
        public = getattr(mocotf, name)
        if inspect.isfunction(public):
            yield name, public
            continue
        methods = {n for n in vars(public) if name == "PretrainedRun" and not n.startswith("_")}
        for method in {"__init__"} & vars(public).keys() | methods:
            function = vars(public)[method]
            yield f"{name}.{method}", getattr(function, "fget", function)


def test_every_public_signature_has_types():
    for name, function in functions():
        code = inspect.unwrap(function).__code__
        arguments = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        assert {*arguments, "return"} - {"self"} <= function.__annotations__.keys(), name


@pytest.mark.slow
def test_a_checker_knows_what_public_names_are(tmp_path):
    program = tmp_path / "program.py"
    lines = ["import keras", "import mocotf", "backbone: keras.Model"]
    lines += [*(f"reveal_type({text})" for text in USE), *WRONG]
    program.write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-m", "mypy", f"--cache-dir={tmp_path}", program]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout
    assert re.findall(r'Revealed type is "(.*)"', told) == [*USE.values()], told
    assert re.findall(r"program.py:(\d+): error", told) == ["9", "10", "11"], told


@pytest.mark.slow
def test_what_is_public_is_true_to_its_types(tmp_path):
    command = [sys.executable, "-m", "mypy", f"--cache-dir={tmp_path}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
