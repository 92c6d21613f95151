"""The program that kills runs, and what it calls a difference."""

import shutil

import pytest

from mocotf.training.checkpoints import ENDINGS
from mocotf.training.checkpoints import path_of
from tests import processes
from tools.differences import compare


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
