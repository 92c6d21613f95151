"""The wheel, installed where there is no checkout."""

import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import venv

import pytest

from tests.processes import ROOT

# What a wheel is made of. Of a copy, for setuptools writes beside it.
SOURCES = ("mocotf", "flags", "LICENSE", "README.md", "pyproject.toml", "setup.py")
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]


def run(*command, cwd):
    """Returns what a command prints, whose exit code has to be 0; it sees nothing of the checkout."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run([*map(str, command)], cwd=cwd, env=clean, capture_output=True, text=True)
    assert done.returncode == 0, done
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Path of the programs of a virtual environment with the wheel, and all that this one has."""
    folder = tmp_path_factory.mktemp("wheel")
    (folder / "source").mkdir()
    for name in SOURCES:
        copy = shutil.copytree if os.path.isdir(os.path.join(ROOT, name)) else shutil.copy
        copy(os.path.join(ROOT, name), folder / "source" / name)
    run(*PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir=.", "./source", cwd=folder)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv", symlinks=True)
    (packages,) = (folder / "venv" / "lib").glob("*/site-packages")
    (packages / "others.pth").write_text(sysconfig.get_path("purelib"))
    python = folder / "venv" / "bin" / "python"
    run(*PIP, f"--python={python}", "install", "--no-deps", "--no-index", wheel, cwd=folder)
    return folder / "venv" / "bin"


@pytest.mark.slow
def test_the_command_trains_by_a_recipe_far_from_any_checkout(installed, tmp_path):
    assert "  preview " in run(installed / "mocotf", "--help", cwd=tmp_path)
    small = "--width=0.125", "--image_size=16", "--batch_size=16", "--knn_every=0", "--steps=3"
    run(installed / "mocotf", "train", "--recipe=demo", *small, "--model_dir=a", cwd=tmp_path)
    views = "--recipe=v1", "--dataset=patches", "--image_size=16"
    run(installed / "mocotf", "preview", *views, cwd=tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["a", "views.png"]


@pytest.mark.slow
def test_the_wheel_has_types_and_recipes_and_no_tests(installed, tmp_path):
    where = run(installed / "python", "-c", "import mocotf; print(mocotf.__file__)", cwd=tmp_path)
    package = pathlib.Path(where.strip()).parent
    assert package.is_relative_to(installed.parent)
    assert (package / "py.typed").exists() and not (package.parent / "tests").exists()
    recipes = {path.name for path in (package / "recipes").iterdir()}
    assert recipes - {"__pycache__"} == set(os.listdir(os.path.join(ROOT, "flags")))
