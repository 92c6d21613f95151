"""The programs that kill runs and commands, and what they call a difference."""

import json
import shutil

import pytest

from mocotf.training.checkpoints import ENDINGS
from mocotf.training.checkpoints import path_of
from tests import processes
from tests.tiny import ARCH
from tools.differences import compare
from tools.differences import compare_batches
from tools.differences import loss_after


def test_what_a_kill_may_do_to_a_run_is_told(trained, tmp_path):
    whole, other = trained / "run", tmp_path / "other"
    shutil.copytree(whole, other)
    assert compare(whole, other, 12) == []
    for ending in ENDINGS:
        shutil.copy(*(path_of(other / "checkpoints", step) + ending for step in (8, 12)))
    lines = (other / "metrics.jsonl").read_text().splitlines(keepends=True)
    (other / "metrics.jsonl").write_text("".join(lines[:-1]))
    (variable, *_, count, shown) = compare(whole, other, 12)
    assert variable.startswith("variable ") and count == f"{len(lines)} and {len(lines) - 1} records"
    assert shown.startswith("TensorBoard of other: ")


def test_batches_that_are_others_or_not_always_the_same_are_told(tmp_path):
    whole, other = tmp_path / "whole.batches", tmp_path / "other.batches"
    whole.write_text("0 aa\n1 bb\n2 cc\n3 dd\n")
    other.write_text("0 aa\n1 bb\n1 bb\n2 cc\n2 cd\n")
    assert compare_batches(whole, other, 2) == []
    told = ["batch 2: ['cc'] and ['cc', 'cd']", "batch 3: ['dd'] and []"]
    assert compare_batches(whole, other, 4) == told


def test_the_first_loss_is_that_of_this_resume_not_of_one_before(tmp_path):
    assert loss_after(tmp_path, 5, since=0) is None
    lines = [json.dumps({"step": step, "time": step, "loss": step / 10}) for step in (5, 6, 7)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + '\n{"step"')
    assert loss_after(tmp_path, 5, since=6) == 0.6 and loss_after(tmp_path, 5, since=6.5) is None


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_kills_and_other_replicas_leave_no_trace():
    options = "--mode=elastic", "--kills=6", "--json", "--", f"--arch={ARCH}"
    done = processes.start("tools/chaos.py", *options).wait(seconds=3600)
    assert done.code == 0, done
    assert (done.json["resumes"], done.json["mismatches"]) == (6, 0)
    assert done.json["compared"] >= 3 and done.json["first_loss"] <= 1e-6  # a third die in starting
    assert len(done.json["replicas"]) == 7


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("mode", "kills"), [("one_device", 20), ("two_replicas", 12), ("two_workers", 12)]
)
def test_kills_leave_no_trace(mode, kills):
    options = f"--mode={mode}", f"--kills={kills}", "--json"
    done = processes.start("tools/chaos.py", *options).wait(seconds=3600)
    assert done.code == 0, done
    assert done.json == {"mode": mode, "kills": kills, "resumes": kills, "mismatches": 0}


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "command", ["embed", "export", "knn", "linear", "finetune", "convert", "report"]
)
def test_a_killed_command_leaves_what_is_whole_and_is_done_by_the_same_again(command, tmp_path):
    options = f"--command={command}", "--kills=2", "--json"
    done = processes.python("tools/chaos_commands.py", *options).wait(seconds=3000)
    assert done.code == 0, done
    assert (done.json[command]["kills"], done.json[command]["faults"]) == (2, [])
