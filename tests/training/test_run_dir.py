"""The run directory refuses what is not its own run."""

import json

import pytest

from mocotf.errors import UserError
from mocotf.training.run_dir import RunDir
from mocotf.training.run_dir import read_flags

FLAGS = {"arch": "resnet18", "schedule": "120,160", "mlp": "true"}


def test_writes_the_flags_and_recognises_them(tmp_path):
    path = str(tmp_path / "runs" / "a")
    assert not RunDir(path, FLAGS).resuming
    assert read_flags(f"{path}/flags.cfg") == FLAGS
    assert RunDir(path, FLAGS).resuming


def test_refuses_another_run_and_names_the_difference(tmp_path):
    RunDir(str(tmp_path), FLAGS)
    with pytest.raises(UserError, match=r"another run \(--arch=resnet18 there, resnet50 here\)"):
        RunDir(str(tmp_path), FLAGS | {"arch": "resnet50"})
    with pytest.raises(UserError, match=r"--lr=\(unset\) there, 1 here"):
        RunDir(str(tmp_path), FLAGS | {"lr": "1"})


def test_refuses_a_folder_of_something_else(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(UserError, match=r"no flags.cfg.*expected a new or empty folder"):
        RunDir(str(tmp_path), FLAGS)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_flags_that_change_nothing_may_change_and_replicas_and_images_may_not(tmp_path):
    facts = {"replicas": 2, "images": 100}
    RunDir(str(tmp_path), FLAGS | {"log_every": "10"}, facts)
    assert RunDir(str(tmp_path), FLAGS | {"log_every": "50"}, facts, neutral={"log_every"}).resuming
    with pytest.raises(UserError, match=r"replicas=2 there, 4 here"):
        RunDir(str(tmp_path), FLAGS | {"log_every": "10"}, facts | {"replicas": 4})


def test_a_second_process_on_the_folder_is_refused(tmp_path):
    first = RunDir(str(tmp_path), FLAGS)
    with pytest.raises(UserError, match="another process is running it"):
        RunDir(first.path, FLAGS)


def test_a_process_killed_while_creating_the_run_does_not_block_it(tmp_path):
    for name in ("flags.cfg.partial", "facts.json", "lock"):
        (tmp_path / name).write_text("--ar")
    assert not RunDir(str(tmp_path), FLAGS).resuming


def test_a_path_that_cannot_be_a_folder_is_refused_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match="expected a folder that can be written"):
            RunDir(str(path), FLAGS)


def test_forgets_metrics_after_a_step_and_a_line_cut_short(tmp_path):
    run_dir = RunDir(str(tmp_path), FLAGS)
    lines = [json.dumps({"step": step, "time": 1.5}) for step in (0, 10, 20)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + '\n\n\0\0\n{"a": 1}\n{"step": 3')
    assert [r["step"] for r in run_dir.metrics()] == [0, 10, 20]
    run_dir.forget_after(10)
    assert (tmp_path / "metrics.jsonl").read_text() == "\n".join(lines[:2]) + "\n"
