"""`python -m mocotf.export` as a user types it."""

from tests import processes


def test_a_run_is_exported_and_the_second_time_refused(trained, tmp_path):
    command = f"--model_dir={trained / 'run'}", f"--export_dir={tmp_path / 'served' / 'small'}"
    done, place = processes.succeed("export", *command, "--json"), tmp_path / "served" / "small" / "12"
    assert done.err == "" and done.json["path"] == str(place) and done.json["step"] == 12
    assert (place / "saved_model.pb").exists()
    line = done.out.splitlines()[-2]
    assert "docker run" in line and "-e MODEL_NAME=small" in line
    assert done.out.count("requests answered as in Python") == 1 and "kNN" in done.out

    why = "version 12 exists, and a version is never changed; expected a new number; try --version=13"
    processes.refuse("export", command, why)


def test_mistakes_are_one_line():
    for arguments, code, message in (
        ("--export_dir=x", 2, "expected a folder, such as --model_dir=runs/mine"),
        ("--model_dir=nowhere --export_dir=x", 1, "nowhere: no flags.cfg; expected the --model_dir"),
        ("--model_dir=x --export_dir=x --version=-1", 2, "--version=-1"),
    ):
        processes.refuse("export", arguments.split(), message, code)
