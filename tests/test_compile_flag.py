"""--jit_compile: its forms, what is saved of it, and what an earlier run's file says."""

import pytest
from absl import flags

from mocotf.cli import train_flags
from mocotf.nn import xla
from mocotf.settings import texts_of
from tests.commands import set_flags

FORMS = [
    ([], "auto"),
    (["--jit_compile=auto"], "auto"),
    (["--jit_compile"], True),
    (["--jit_compile=true"], True),
    (["--nojit_compile"], False),
    (["--jit_compile=false"], False),
]


@pytest.mark.parametrize(("arguments", "value"), FORMS)
def test_every_form_is_understood_and_saved_as_one_that_is(arguments, value):
    set_flags(*arguments)
    assert flags.FLAGS.jit_compile == value
    text = texts_of(train_flags.read().saved)["jit_compile"]
    set_flags(f"--jit_compile={text}")
    assert flags.FLAGS.jit_compile == value


@pytest.mark.parametrize("argument", ["--jit_compile=perhaps", "--jit_compile=2"])
def test_anything_else_is_refused(argument):
    with pytest.raises(flags.Error, match="jit_compile"):
        set_flags(argument)


@pytest.mark.parametrize(
    ("arguments", "saved", "expected"),
    [
        ([], "--jit_compile=auto\n", "what pays"),
        ([], "--jit_compile=false\n", False),
        ([], "--jit_compile=true\n", True),
        ([], "", False),  # of a release without the flag
        (["--jit_compile"], "--jit_compile=false\n", True),
    ],
)
def test_a_run_stays_as_it_was_begun_unless_told_otherwise(
    monkeypatch, tmp_path, arguments, saved, expected
):
    monkeypatch.setattr(xla, "pays", lambda _: "what pays")
    (tmp_path / "flags.cfg").write_text(saved)
    set_flags(f"--model_dir={tmp_path}", *arguments, resumes=True)
    assert xla.is_to_compile(flags.FLAGS.jit_compile, None) == expected
    assert "jit_compile" not in train_flags.read().texts()
