"""The program that measures the input pipeline, and what it computes; not how fast it is here."""

import functools
import os
import sys
import time

import pytest

from mocotf.data import kernels
from mocotf.data.folder import Folder
from mocotf.errors import UserError
from tests.tools.support import run_tool
from tools.peers import images
from tools.peers import ours
from tools.peers import race

OURS = ["all_on_host", "host_share", "all_on_host_tensorflow", "host_share_tensorflow"]
PEERS_PYTHON = os.environ.get("MOCOTF_PEERS_PYTHON")

run = functools.partial(run_tool, "benchmark_input.py", "--rounds=2")


@pytest.mark.slow
def test_ours_alone():
    code, found, err = run("--nopeers", "--pairs=32", "--sides=host_share")
    assert code == 0, err
    assert found["host_share"].keys() == {"pairs_per_second"} and found["peers"] == {}
    low, high = found["spread"]["host_share"]["min"], found["spread"]["host_share"]["max"]
    assert 0 < low <= found["host_share"]["pairs_per_second"] <= high
    assert found["rounds"] == 2 and found["pairs_per_round"] == 32
    assert found["machine"]["cores"] > 0 and "numba" in found["versions"]
    assert next(iter(found["stages_ms"])) == "read" and len(found["stages_ms"]) == 9
    assert sum(found["stages_ms"].values()) > 0


@pytest.mark.slow
@pytest.mark.skipif(not PEERS_PYTHON, reason="MOCOTF_PEERS_PYTHON names no Python of `make peers`")
def test_beside_peers():
    code, found, err = run("--pairs=32", "--nostages", f"--peers_python={PEERS_PYTHON}")
    assert code == 0, err
    assert found["peers"].keys() == {"torchvision", "albumentations"}
    assert found["spread"].keys() == {*OURS, *found["peers"]}
    for name in OURS:
        numbers = found[name]
        assert numbers.keys() == {"pairs_per_second", "vs_torchvision", "vs_albumentations"}
        assert min(numbers.values()) > 0


def test_missing_peers_take_one_line():
    code, found, err = run("--peers_python=/nowhere/python")
    assert code == 1 and found is None
    assert "--peers_python=/nowhere/python" in err and "make peers" in err
    assert len(err.splitlines()) == 1


def test_what_is_timed_is_what_is_made(tmp_path, monkeypatch):
    images.make(tmp_path)
    made = []
    make = kernels.ViewMaker.__call__

    def counted(maker, *arguments):
        made.append(None)
        return make(maker, *arguments)

    monkeypatch.setattr(kernels.ViewMaker, "__call__", counted)
    iterator = iter(ours.pairs(Folder(str(tmp_path)), "numba", crops_only=True, first_step=0))
    ours.timed(iterator, 0)
    before = len(made)
    ours.timed(iterator, 10)
    expected = (ours.UNTIMED + 10) * ours.BATCH
    assert abs(len(made) - before - expected) <= 2 * ours.BATCH  # those in the making at either end
    del iterator
    after = len(made)
    time.sleep(0.5)
    assert len(made) == after


def test_ratios_are_of_rounds_that_go_together():
    # The machine is half as fast in the second round: a ratio of medians would be 4.
    assert race.median_ratio([1, 2, 1], [3, 6, 5]) == 3
    assert race.median_ratio([2.0], [1.0]) == 0.5


def test_steps_are_what_each_part_adds():
    rounds = [{"a": 1.0, "b": 3.0, "c": 4.0}, {"a": 2.0, "b": 4.0, "c": 5.0}, {"a": 3, "b": 6, "c": 9}]
    assert race.median_steps(rounds, amount=1000) == {"a": 2.0, "b": 2.0, "c": 1.0}


def test_sides_take_turns_in_a_changing_order(tmp_path):
    code = "import sys\nfor line in sys.stdin: print(int(line) / 8, flush=True)"
    sides = {n: race.Side(n, [sys.executable, "-c", code], tmp_path / n) for n in ("a", "b")}
    asked = []
    for name, side in sides.items():
        ask = side.ask
        side.ask = lambda request, name=name, ask=ask: asked.append(name) or ask(request)
    assert race.race(sides, rounds=3, request=4) == {"a": [0.5] * 3, "b": [0.5] * 3}
    assert "".join(asked) == "abbaab"
    for side in sides.values():
        side.close()


def test_a_side_that_fails_says_why(tmp_path):
    side = race.Side("a", [sys.executable, "-c", "raise SystemExit('no disk')"], tmp_path / "a")
    with pytest.raises(UserError, match="a stopped with exit code 1: no disk"):
        side.ask(4)


def test_images_that_do_not_decode_are_refused(tmp_path):
    photographs, linked = tmp_path / "photographs", tmp_path / "linked"
    photographs.mkdir()
    linked.mkdir()
    paths = images.make(photographs)
    assert len(images.find(str(photographs), str(linked), least=4)) == len(paths) == 64
    with pytest.raises(UserError, match="64 JPEG files; expected 65 or more"):
        images.find(str(photographs), str(linked), least=65)
    with open(paths[0], "r+b") as file:
        file.truncate(300)
    with pytest.raises(UserError, match=f"{paths[0]}: does not decode"):
        images.find(str(photographs), str(linked), least=4)
