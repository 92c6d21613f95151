"""The program that damages images and files, and what it calls a finding."""

import pytest

from tests import processes
from tools.fuzzing.hunt import FINDINGS

NOTHING = dict.fromkeys(FINDINGS, 0)


def test_each_kind_of_fault_is_found(tmp_path):
    found = processes.succeed("tests/tools/planted_faults.py", tmp_path / "started").json
    ended = {"crash": "crash", "work_on": "hang", "sleep": "hang", "eat": "over_memory"}
    assert found.pop("workers") == 2 + len(ended)  # each is followed by another
    assert found == ended | {
        "read": "read", "refuse": "refused", "complain": "traceback", "fail": "traceback",
        "differ": "silent_difference", "peak": "over_memory", "peak_and_refuse": "over_memory",
    }  # fmt: skip


def test_damage_is_borne_and_a_finding_can_be_replayed(tmp_path):
    torn = tmp_path / "5-7.run+facts.json"
    torn.write_text('{"replicas": 1, "ima')
    options = "--images=24", "--files=12", "--seed=2", "--processes=1", f"--out={tmp_path}"
    done = processes.run("tools/fuzz.py", *options, f"--replay={torn}", "--json")
    assert f"{torn}: refused: " in done.out
    found = done.json
    assert (found["images"], found["files"]) == (24, 13)
    assert {name: found[name] for name in FINDINGS} == NOTHING, done.out
    images = [one for name, one in found["cases"].items() if name.startswith("image")]
    assert all(sum(one.get(word, 0) for one in images) > 5 for word in ("decoded", "refused"))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ten_minutes_of_damage_are_borne(tmp_path):
    options = "--seconds=600", "--seed=11", f"--out={tmp_path}", "--json"
    done = processes.start("tools/fuzz.py", *options).wait(seconds=1500)
    assert {name: done.json[name] for name in FINDINGS} == NOTHING, done.out
    assert done.json["images"] > 1000 and done.json["files"] > 100
