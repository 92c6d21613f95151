"""Grids of pre-trainings: rows, the runs they are made of, and those that an earlier sitting has."""

import dataclasses
import re

import pytest
from absl import flags
from absl.testing import flagsaver

from mocotf.cli import train_flags
from mocotf.errors import UserError
from mocotf.json_files import write_json
from mocotf.settings import texts_of
from mocotf.settings import with_values
from mocotf.training.run_dir import RunDir
from tests import processes
from tests.commands import set_flags
from tools.ablations import grids
from tools.ablations import outcomes
from tools.ablations import plan
from tools.ablations.running import shares

DEMO = f"--flagfile={processes.ROOT}/flags/demo.cfg"


@pytest.fixture
def base():
    """The flags of mocotf.train are those of the demo."""
    with flagsaver.flagsaver():
        set_flags(DEMO)
        yield


def expand(groups, out="nowhere", **options):
    options = {"seeds": None, "reduced": False, "threads": 1} | options
    return plan.expand(groups, out, lambda batch: 6400 // batch, **options)


def pieces(*rows):
    return dataclasses.replace(grids.PIECES, rows=rows)


def seeds_of(tables, group, row):
    ((_, rows),) = [(g, rows) for g, rows in tables if g.name == group]
    (runs,) = [runs for r, runs in rows if r.name == row]
    return runs


def test_names_are_unique_and_equal_rows_have_equal_seeds():
    assert len({group.name for group in grids.GROUPS}) == len(grids.GROUPS)
    seeds = {}
    for group in grids.GROUPS:
        assert len({row.name for row in group.rows}) == len(group.rows)
        assert any(row.reduced for row in group.rows)
        for row in group.rows:
            seeds.setdefault(row.flags, set()).add(row.reduced)
            assert group.figures != "x" or (row.curve and row.x)
    assert all(len(found) == 1 for found in seeds.values())


def test_every_row_has_flags_that_train_takes(base):
    runs = plan.runs_of(expand(grids.GROUPS, seeds=range(3)))
    assert len(runs) == 3 * len({row.flags for group in grids.GROUPS for row in group.rows})
    assert len({run.name for run in runs}) == len(runs)
    assert all(re.fullmatch(r"[\w=.-]+", run.name) for run in runs)
    assert plan.seconds(runs, 2) < 10 * 3600  # a night


def test_the_reduced_grid_is_a_cut(base):
    runs = plan.runs_of(expand(grids.GROUPS, reduced=True))
    assert 25 <= len(runs) <= 30
    epochs = {run.steps * int(run.flags["batch_size"]) // 6400 for run in runs}
    assert max(epochs) == plan.REDUCED_EPOCHS


def test_rows_that_groups_share_are_run_once(base):
    tables = expand([grids.MOMENTUM, grids.QUEUE, grids.PIECES], seeds=(4,))
    (run,) = seeds_of(tables, "momentum", "m .99 (the base recipe)")
    assert seeds_of(tables, "queue", "MoCo, K 1,024") == [run]
    assert seeds_of(tables, "pieces", "MLP + cosine (the base recipe)") == [run]
    assert run.name == "base_seed=4" and plan.runs_of(tables).count(run) == 1
    (other,) = seeds_of(tables, "momentum", "m .9")
    assert other.name == "moco_m=0.9_seed=4" and other.flags["moco_m"] == "0.9"
    texts = [texts_of(one.settings, decisive=True).items() for one in (run, other)]
    assert {name for name, _ in texts[0] ^ texts[1]} == {"moco_m"}


def test_runs_of_any_batch_see_as_many_images(base):
    group = pieces(grids.BASE, grids.Row("large", "--batch_size=512 --lr=0.48"))
    runs = plan.runs_of(expand([group], seeds=(0,)))
    assert [run.steps for run in runs] == [1000, 240]  # 20 epochs of whole batches
    flags.FLAGS.steps = 400
    runs = plan.runs_of(expand([group], seeds=(0,)))
    assert [run.steps for run in runs] == [400, 100] and runs[1].flags["steps"] == "100"


def test_shares_of_a_schedule_become_epochs_and_curves_are_watched(base):
    tables = expand([grids.PIECES], seeds=(0,))
    (v1,) = seeds_of(tables, "pieces", "linear head, no blur, steps (v1)")
    assert (v1.flags["schedule"], v1.flags["cos"], v1.flags["mlp"]) == ("12,16", "false", "false")
    assert v1.flags["knn_every"] == "20" and not v1.watched  # at both ends only
    (run,) = seeds_of(tables, "pieces", "MLP + cosine (the base recipe)")
    assert run.flags["knn_every"] == "2" and run.watched  # by the group of shuffling


def test_a_row_that_train_refuses_is_named(base):
    for row, message in (
        ("--moco_q=1", "pieces: x: --moco_q=1: mocotf.train has no flag --moco_q"),
        ("--moco_m=2", "pieces: x: --moco_m=2: expected a finite number from 0 to 1"),
        ("--schedule=3,4", "pieces: x: --cos and --schedule contradict each other"),
    ):
        with pytest.raises(UserError, match=re.escape(message)):
            expand([pieces(grids.Row("x", row))], seeds=(0,))


def test_groups_are_chosen_by_name():
    assert plan.choose("reduced") == plan.choose("default") == list(grids.GROUPS)
    assert plan.choose("queue,momentum") == [grids.MOMENTUM, grids.QUEUE]
    with pytest.raises(UserError, match="--grid=momentum,all: no group all; expected default"):
        plan.choose("momentum,all")


def test_cores_are_shared_out_to_the_runs_of_a_time():
    assert shares([0, 1], 1) == [{0, 1}] and shares([4, 6], 2) == [{4}, {6}]
    assert shares(range(5), 2) == [{0, 2, 4}, {1, 3}]
    assert shares([0, 1], 3) == [{0}, {1}, {0}]


def test_a_folder_of_another_run_is_refused_and_threads_stay(base, tmp_path):
    (run,) = plan.runs_of(expand([pieces(grids.BASE)], seeds=(0,)))
    RunDir(tmp_path / run.name, run.settings)
    plan.check_folders([run], str(tmp_path))
    (more,) = plan.runs_of(expand([grids.QUEUE], str(tmp_path), seeds=(0,), threads=7))[3:4]
    assert more.name == run.name and more.flags["intra_op_threads"] == "1"
    flags.FLAGS.epochs = 3
    (other,) = plan.runs_of(expand([grids.QUEUE], str(tmp_path), seeds=(0,)))[3:4]
    with pytest.raises(UserError, match="holds another run .--epochs=20 there, 3 here"):
        plan.check_folders([other], str(tmp_path))


def test_runs_of_an_earlier_sitting_are_known(base, tmp_path):
    tables = expand([grids.QUEUE], seeds=(0,))
    names, path = [run.name for run in plan.runs_of(tables)], tmp_path / "results.json"
    recipe, done = train_flags.read().saved, {"state": "done", "knn_top1": 70.0}
    known = {"sittings": [{}], "base": texts_of(recipe) | {"workers": "2"}}
    known["runs"] = {names[0]: done, names[1]: {"state": "failed"}}
    write_json(path, known)
    earlier = outcomes.read_earlier(str(path), recipe, str(tmp_path / "out"))
    assert earlier == ([{}], {names[0]: done})
    found = outcomes.collect(tables, str(tmp_path / "out"), [], {}, earlier.runs)["runs"]
    assert found[names[0]] == done and found[names[1]]["state"] == "not run"
    for changed, out, message in (
        ({"lr": 0.06}, tmp_path / "out", "another base recipe: --lr=0.12 there, 0.06 here"),
        ({}, tmp_path, "it is in --out"),
    ):
        with pytest.raises(UserError, match=message):
            outcomes.read_earlier(str(path), with_values(recipe, changed), str(out))
    with pytest.raises(UserError, match=r"expected results.json of tools/ablate.py"):
        outcomes.read_earlier(str(tmp_path / "none.json"), recipe, str(tmp_path))
    assert outcomes.read_earlier(None, recipe, str(tmp_path)) == ([], {})

    del known["base"]["order_rounds"]  # as it was before there was such a setting
    write_json(path, known)
    with pytest.raises(UserError, match="another base recipe: --order_rounds=4 there, 16 here"):
        outcomes.read_earlier(str(path), recipe, str(tmp_path / "out"))
