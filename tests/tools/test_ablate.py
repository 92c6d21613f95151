"""The program that runs grids of pre-trainings."""

import re
import signal

import pytest

from tests import processes
from tests.commands import SMALL
from tests.commands import results

EMPTY = "<!-- ablate: setup --><!-- end of setup --><!-- ablate: g --><!-- end of g -->"

DRIVER = """
import sys
from mocotf.cli import command
from tools.ablations import grids
grids.GROUPS = (grids.Group("g", "G", "Says so.", (
    grids.Row("base", reduced=1, curve="a"),
    {more}
), figures="steps"),)
from tools import ablate, children
{patch}
command.run(ablate.main)
"""
BAD = 'grids.Row("bad", "--batch_size=15", reduced=1),'  # for 2 BN groups, which only the run knows
STAND_IN = 'children.TRAIN = [sys.executable, "tests/tools/worker.py"]'


@pytest.fixture
def ablate(tmp_path):
    """Returns a function that starts the program on a grid of one row and `more`."""

    def start(out, *arguments, more="", patch=""):
        (tmp_path / "driver.py").write_text(DRIVER.format(more=more, patch=patch))
        return processes.start(str(tmp_path / "driver.py"), *SMALL, f"--out={out}", *arguments)

    return start


@pytest.mark.slow
def test_a_grid_is_run_collected_and_resumed(tmp_path, ablate):
    document, out = tmp_path / "a.md", tmp_path / "out"
    document.write_text(EMPTY)
    arguments = ["--seeds=3", "--steps=2", "--jobs=2", "--json", f"--markdown={document}"]
    done = ablate(out, *arguments, more=BAD).wait()
    assert done.code == 1 and done.out.startswith("2 runs, 0 of them done"), done
    failure = r"^\d/2  g: bad, seed 3: failed with exit code 1, \d+ s; the end of .*/batch_size=15_"
    assert re.search(failure, done.out, re.M)
    assert "    error: --batch_size=15: expected a multiple of 2" in done.out
    assert (done.json["runs"], done.json["done"], done.json["failed"]) == (2, 1, 1)
    run, top1 = results(out)["runs"]["base_seed=3"], results(out / "base_seed=3")["knn_top1"]
    assert run["knn_top1"] == top1 and run["curves"]["knn_top1"][0] == [0, 2]
    assert done.json["groups"] == {"g": {"base": {"knn_top1": top1, "deviation": None, "seeds": 1}}}
    assert "| bad | failed |" in document.read_text()
    assert (tmp_path / "figures" / "ablations_g_knn.svg").exists()
    logs = {log.name: log.read_text() for log in (out / "logs").glob("*=*.log")}

    again = ablate(out, *arguments).wait()  # what is done is not run again
    assert again.code == 0 and again.out.startswith("1 runs, 1 of them done"), again
    assert logs == {log.name: log.read_text() for log in (out / "logs").glob("*=*.log")}
    assert again.json["groups"] == done.json["groups"]
    told = ablate(out, *arguments, "--norun", more=BAD).wait()  # nor is what is not
    assert told.code == 0 and (told.json["done"], told.json["failed"]) == (1, 0), told
    assert told.json["groups"] == done.json["groups"]


@pytest.fixture
def begun(tmp_path, ablate):
    """The program whose first run has begun, and waits."""
    more = 'grids.Row("m 0", "--moco_m=0", reduced=1)'
    process = ablate(tmp_path, "--seeds=0", "--jobs=1", more=more, patch=STAND_IN)
    process.wait_until((tmp_path / "base_seed=0.begun").exists)
    return process


def test_asked_to_end_it_ends_its_runs_which_save_first(tmp_path, begun):
    begun.send_signal(signal.SIGTERM)
    done = begun.wait()
    assert done.code == 143 and "failed" not in done.out, done
    assert done.out.splitlines()[-1] == "asked to end by SIGTERM; the same command resumes the grid"
    assert (tmp_path / "logs" / "base_seed=0.log").read_text().endswith("saved\n")
    assert not list(tmp_path.glob("moco_m=0.0_seed=0*"))
    assert results(tmp_path, "times.json")["runs"]["base_seed=0"] > 0


def test_runs_do_not_outlive_it(tmp_path, begun):
    begun.kill()
    processes.wait_until(lambda: [*tmp_path.glob("base_seed=0.ended.*")])


def test_mistakes_take_one_line(tmp_path):
    for argument, message in (
        ("--grid=nothing", "--grid=nothing: no group nothing; expected default, reduced"),
        ("--seeds=0,x", "--seeds=0,x: "),
        ("--seed=3", "--seed: every run of a grid has its own; try --seeds"),
        ("--norun", f"--norun: no run of --grid=reduced is done in --out={tmp_path}"),
    ):
        processes.refuse("tools/ablate.py", [*SMALL, f"--out={tmp_path}", argument], message)
