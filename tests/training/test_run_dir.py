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


def test_forgets_metrics_after_a_step_and_a_line_cut_short(tmp_path):
    run_dir = RunDir(str(tmp_path), FLAGS)
    lines = [json.dumps({"step": step}) for step in (0, 10, 20)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + '\n{"step": 3')
    assert [r["step"] for r in run_dir.metrics()] == [0, 10, 20]
    run_dir.forget_after(10)
    assert (tmp_path / "metrics.jsonl").read_text() == "\n".join(lines[:2]) + "\n"
