"""The examples in the docstrings of the public names: each has one, and it does what it says."""

import doctest
import inspect
import shutil

import keras
import numpy as np
import pytest

import mocotf

OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
QUICK = {"SGD", "UserError", "load_encoder"}
NAMES = [pytest.param(n, marks=[pytest.mark.slow] * (n not in QUICK)) for n in mocotf.__all__]


@pytest.fixture
def folder(trained, tmp_path, monkeypatch):
    """A folder to be in, with the `my_photos` and `runs/mine` of the examples."""
    (tmp_path / "my_photos").symlink_to(trained / "pictures" / "train")
    shutil.copytree(trained / "run", tmp_path / "runs" / "mine")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_the_example_of_a_public_name_does_what_it_says(name, folder, capsys):
    examples = doctest.DocTestParser().get_examples(inspect.getdoc(getattr(mocotf, name)))
    assert any(f"mocotf.{name}" in example.source for example in examples)
    names = {"mocotf": mocotf, "keras": keras, "np": np}
    for example in examples:
        capsys.readouterr()
        exec(compile(example.source, f"<example of {name}>", "single"), names)
        shown = capsys.readouterr().out
        if example.want:  # what trains says much else
            assert doctest.OutputChecker().check_output(example.want, shown, OPTIONS), shown
