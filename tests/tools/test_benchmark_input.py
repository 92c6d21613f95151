"""The program that measures the input pipeline, and what it computes; not how fast it is here."""

import functools
import os
import sys
import time

import pytest

from mocotf.data.sources.folder import Folder
from mocotf.data.views import numba_ops
from mocotf.errors import UserError
from tests import processes
from tools.peers import images
from tools.peers import ours
from tools.peers import race

OURS = ["all_on_host", "host_share", "all_on_host_tensorflow", "host_share_tensorflow"]
PEERS_PYTHON = os.environ.get("MOCOTF_PEERS_PYTHON")


def measure(*flags):
    flags = "--json", "--rounds=2", "--pairs=32", *flags
    return processes.succeed("tools/benchmark_input.py", *flags).json


@pytest.mark.slow
def test_ours_alone():
    found = measure("--nopeers", "--sides=host_share")
    assert found["host_share"].keys() == {"pairs_per_second"} and found["peers"] == {}
    spread = found["spread"]["host_share"]
    assert 0 < spread["min"] <= found["host_share"]["pairs_per_second"] <= spread["max"]
    assert found["rounds"] == 2 and found["pairs_per_round"] == 32
    assert found["machine"]["cores"] > 0 and "numba" in found["versions"]
    assert next(iter(found["stages_ms"])) == "read" and len(found["stages_ms"]) == 9
    assert sum(found["stages_ms"].values()) > 0


@pytest.mark.slow
@pytest.mark.skipif(not PEERS_PYTHON, reason="MOCOTF_PEERS_PYTHON names no Python of `make peers`")
def test_beside_peers():
    found = measure("--nostages", f"--peers_python={PEERS_PYTHON}")
    assert found["peers"].keys() == {"torchvision", "albumentations"}
    assert found["spread"].keys() == {*OURS, *found["peers"]}
    for name in OURS:
        numbers = found[name]
        assert numbers.keys() == {"pairs_per_second", "vs_torchvision", "vs_albumentations"}
        assert min(numbers.values()) > 0


def test_what_is_timed_is_what_is_made(tmp_path, monkeypatch):
    images.make(tmp_path)
    made, make = [], numba_ops.ViewMaker.__call__

    def counted(maker, *arguments):
        made.append(None)
        return make(maker, *arguments)

    monkeypatch.setattr(numba_ops.ViewMaker, "__call__", counted)

    def as_timed(first_step):
        """Returns whether as many were made as were timed, and none after."""
        source = Folder(str(tmp_path))
        iterator = iter(ours.pairs(source, "numba", crops_only=True, first_step=first_step))
        ours.timed(iterator, 0)
        before = len(made)
        ours.timed(iterator, 10)
        astray = abs(len(made) - before - (ours.UNTIMED + 10) * ours.BATCH)
        del iterator
        after = len(made)
        time.sleep(0.5)
        return astray <= 2 * ours.BATCH and len(made) == after  # in the making at either end

    # Where somebody else has the core, the pipeline works ahead of a reader that waits; not each time.
    assert any(as_timed(100 * attempt) for attempt in range(10))


def test_ratios_and_steps_are_of_rounds_that_go_together():
    # The machine is half as fast in the second round: a ratio of medians would be 4.
    assert race.median_ratio([1, 2, 1], [3, 6, 5]) == 3
    assert race.median_ratio([2.0], [1.0]) == 0.5
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
    find = functools.partial(images.find, str(photographs), str(linked))
    assert len(find(least=4)) == len(paths) == 64
    with pytest.raises(UserError, match="64 JPEG files; expected 65 or more"):
        find(least=65)
    os.truncate(paths[0], 300)
    with pytest.raises(UserError, match=f"{paths[0]}: does not decode"):
        find(least=4)
