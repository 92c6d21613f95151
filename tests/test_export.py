"""`python -m mocotf.export` as a user types it."""

import os

import pytest

from tests import processes


def test_a_run_is_exported_and_the_second_time_refused(trained, tmp_path):
    command = f"--model_dir={trained / 'run'}", f"--export_dir={tmp_path / 'served' / 'small'}"
    done = processes.run("export", *command, "--json")
    assert done.code == 0 and done.err == "", done.err
    *lines, _ = done.out.splitlines()
    found = done.json
    assert found["path"] == str(tmp_path / "served" / "small" / "12") and found["step"] == 12
    assert os.path.exists(os.path.join(found["path"], "saved_model.pb"))
    assert "docker run" in lines[-1] and "-e MODEL_NAME=small" in lines[-1]
    assert done.out.count("requests answered as in Python") == 1 and "kNN" in done.out

    code, out, err = processes.run("export", *command)
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert "version 12 exists" in err and "try --version=13" in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--export_dir=x"], 2, "expected a folder, such as --model_dir=runs/mine"),
        (
            ["--model_dir=nowhere", "--export_dir=x"],
            1,
            "nowhere: no flags.cfg; expected the --model_dir",
        ),
        (["--model_dir=x", "--export_dir=x", "--version=-1"], 2, "--version=-1"),
    ],
)
def test_mistakes_are_one_line(arguments, code, message):
    found, out, err = processes.run("export", *arguments)
    assert (found, out, len(err.splitlines())) == (code, "", 1)
    assert message in err
