"""The program that runs grids of pre-trainings and makes tables and figures of them."""

import dataclasses
import re
import signal
from xml.etree import ElementTree

import pytest
from absl import flags
from absl.testing import flagsaver

from mocotf.errors import UserError
from mocotf.json_files import write_json
from mocotf.settings import texts_of
from mocotf.training.run_dir import RunDir
from tests import processes
from tests.commands import SMALL
from tests.commands import results
from tests.commands import set_flags
from tools import markers
from tools.ablations import figures
from tools.ablations import grids
from tools.ablations import outcomes
from tools.ablations import page
from tools.ablations import plan
from tools.ablations.running import shares

DEMO = f"--flagfile={processes.ROOT}/flags/demo.cfg"
EMPTY = "<!-- ablate: setup --><!-- end of setup --><!-- ablate: g --><!-- end of g -->"


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


def result(knn=None, state="done", **more):
    run = {"seed": 0, "steps": 250, "batch_size": 128, "seconds": 30.0, "state": state}
    found = {"knn_top1": knn, "knn_top1_untrained": 42.0, "knn_top1_pixels": 34.9, "acc1": 10.0}
    return run | (found | {"loss": 5.25, "chance": 6.9325} | more if state == "done" else {})


def group_of(rows, **more):
    group = {"name": "g", "title": "G", "paper": "Says so.", "figures": "", "x_name": "", "rows": rows}
    group["claims"] = []
    return group | more


def row(name, runs, published="", curve="", x=None):
    return {"name": name, "flags": "", "published": published, "curve": curve, "x": x, "runs": runs}


def test_mean_and_deviation_are_those_of_a_sample():
    assert outcomes.spread([75.1, 80.5, 80.7]) == pytest.approx((78.767, 3.177), abs=1e-3)
    assert outcomes.spread([3.0]) == (3.0, None)
    assert page.spread_text([75.1, 80.5, 80.7]) == "78.8 ± 3.2"
    assert page.spread_text([71.25]) == "71.2" and page.spread_text([]) == "–"


def test_a_table_has_means_failures_and_published_numbers():
    runs = {"a": result(70.0), "b": result(72.0, acc1=14.0), "c": result(state="failed")}
    runs |= {"d": result(state="not run")}
    rows = [row("m 0", ["a", "b"], "fails"), row("m .9", ["c"]), row("m 1", ["a", "c"], "59.0")]
    lines = page.table(group_of([*rows, row("m 2", ["d"])]), runs).splitlines()
    assert lines[:6] == [
        "|  | kNN top-1, % | acc1, % | loss (chance) | minutes | seeds | published, % |",
        "|---|---|---|---|---|---|---|",
        "| m 0 | 71.0 ± 1.4 | 12.0 ± 2.8 | 5.25 (6.93) | 0.5 | 2 | fails |",
        "| m .9 | failed | – | – | – | 0 | – |",
        "| m 1 | 70.0 (1 failed) | 10.0 | 5.25 (6.93) | 0.5 | 1 | 59.0 |",
        "| m 2 | – | – | – | – | 0 | – |",
    ]
    assert lines[-1] == "Runs of 250 steps of 128 images. Published: Says so."


def results_of(*groups, runs):
    sitting = {
        "jobs": 2, "seconds": 550.0, "machine": {"cpu": "Some CPU", "cores": 2},
        "versions": {"tensorflow": "2.21.0"},
    }  # fmt: skip
    return {"grid": "reduced", "sittings": [sitting] * 2, "groups": list(groups), "runs": runs}


def test_prose_around_the_markers_survives(tmp_path):
    path = tmp_path / "a.md"
    text = "# Mine\n<!-- ablate: setup -->\nold\n<!-- end of setup -->\nprose \\1\n"
    path.write_text(text + "<!-- ablate: g -->\n<!-- end of g -->\nend\n")
    markers.check(path, "ablate", ["setup", "g"])
    results = results_of(group_of([row("m 0", ["a"])]), runs={"a": result(70.0)})
    for _ in range(2):  # the second finds what the first wrote
        page.write(str(path), results)
        found, setup = path.read_text(), "`--grid=reduced`: 1 of 1 runs, seeds 0"
        assert found.startswith(f"# Mine\n<!-- ablate: setup -->\n{setup}")
        assert "\nprose \\1\n" in found and found.endswith("<!-- end of g -->\nend\n")
        assert found.count("| m 0 | 70.0 |") == 1 and "old" not in found
        assert "18 min in 2 sittings; " in found and found.count("Some CPU") == 1
        assert "untrained encoders 42.0" in found
    with pytest.raises(UserError, match="no place for queue; expected the lines <!-- ablate: queue"):
        markers.check(path, "ablate", ["g", "queue"])
    with pytest.raises(UserError, match="No such file"):
        markers.check(tmp_path / "b.md", "ablate", ["g"])


def test_runs_of_an_earlier_sitting_are_known(base, tmp_path):
    tables = expand([grids.QUEUE], seeds=(0,))
    names, path = [run.name for run in plan.runs_of(tables)], tmp_path / "results.json"
    decisive = {"lr": "0.03"}
    known = {"sittings": [{}], "base": decisive | {"workers": "2"}}
    known["runs"] = {names[0]: result(70.0), names[1]: result(state="failed")}
    write_json(path, known)
    earlier = outcomes.read_earlier(str(path), decisive, str(tmp_path / "out"))
    assert earlier == ([{}], {names[0]: result(70.0)})
    found = outcomes.collect(tables, str(tmp_path / "out"), [], {}, earlier.runs)["runs"]
    assert found[names[0]] == result(70.0) and found[names[1]]["state"] == "not run"
    for base, out, message in (
        ({"lr": "0.06"}, tmp_path / "out", "another base recipe: --lr=0.03 there, 0.06 here"),
        (decisive, tmp_path, "it is in --out"),
    ):
        with pytest.raises(UserError, match=message):
            outcomes.read_earlier(str(path), base, str(out))
    with pytest.raises(UserError, match=r"expected results.json of tools/ablate.py"):
        outcomes.read_earlier(str(tmp_path / "none.json"), decisive, str(tmp_path))
    assert outcomes.read_earlier(None, decisive, str(tmp_path)) == ([], {})


def test_the_document_has_a_place_for_every_group():
    names = [group.name for group in grids.GROUPS]
    markers.check(f"{processes.ROOT}/docs/reference/ablations.md", "ablate", ["setup", *names])


def test_accuracy_against_k_has_a_curve_a_mechanism_and_bars(tmp_path):
    names = [("MoCo", 256), ("MoCo", 1024), ("memory bank", 256), ("memory bank", 1024)]
    rows = [row(f"{n} {K}", [f"{n}{K}", f"{n}{K}+"], curve=n, x=K) for n, K in reversed(names)]
    runs = {f"{n}{K}{s}": result(K / 64 + 50 + 2 * (s == "+")) for n, K in names for s in ("", "+")}
    group = group_of(rows, figures="x", x_name="K")
    moco = figures.accuracy_against_x(group, runs)[1]
    assert (moco.name, moco.xs, moco.ys) == ("MoCo", (256, 1024), (55, 67))
    assert moco.errors == pytest.approx((2**0.5, 2**0.5))
    path = tmp_path / "a.md"
    path.write_text(EMPTY)
    page.write(str(path), results_of(group, runs=runs))
    assert "![kNN top-1, %, against K](figures/ablations_g.svg)" in path.read_text()
    drawing = ElementTree.parse(tmp_path / "figures" / "ablations_g.svg").getroot()
    svg = "{http://www.w3.org/2000/svg}"
    assert drawing.tag == f"{svg}svg"
    texts = ["MoCo", "memory bank", "256", "512", "1,024", "K", "memory bank, K 256: 55 ± 1.414"]
    assert set(texts) <= set(drawing.itertext())
    assert sum("h8m-4" in path.get("d") for path in drawing.iter(f"{svg}path")) == 4


def test_curves_over_steps_are_means_over_seeds_dashed_without_shuffling():
    steps = list(range(1, 101))
    curve = {"acc1": [steps, [float(s) for s in steps]], "knn_top1": [[0, 100], [40.0, 60.0]]}
    higher = {"acc1": [steps, [s + 2.0 for s in steps]], "knn_top1": [[0, 100], [42.0, 62.0]]}
    runs = {"a": result(60.0, curves=curve), "b": result(62.0, curves=higher)}
    rows = [row("shuffled", ["a", "b"], curve="MoCo"), row("not", ["b"], curve="MoCo")]
    group = group_of(rows, figures="steps")
    first, second = figures.curves(group, runs, "acc1", bins=25)
    assert first.xs[0] == 2.5 and first.ys[0] == 3.5 and len(first.ys) == 25
    assert first.colour == second.colour and (first.dashed, second.dashed) == (False, True)
    assert figures.curves(group, runs, "knn_top1")[0].ys == [41.0, 61.0]
    found = figures.figures_of(group, runs)
    assert set(found) == {"ablations_g_acc1.svg", "ablations_g_knn.svg"}
    assert found["ablations_g_knn.svg"][0].count('stroke-dasharray="6 4"') == 2  # curve and legend


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
    ):
        processes.refuse("tools/ablate.py", [DEMO, f"--out={tmp_path}", argument], message)
