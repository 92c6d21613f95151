"""The program that trains on collections of pictures and makes tables of what was learned."""

import re

import pytest

from mocotf.errors import UserError
from tests import processes
from tests.commands import results
from tests.tiny import ARCH
from tests.trained import OPTIONS
from tests.trained import write_pictures
from tools import markers
from tools.ablations import running
from tools.trials import page
from tools.trials import plan

EMPTY = "".join(f"<!-- recipes: {name} --><!-- end of {name} -->\n" for name in page.BLOCKS)


def expand(words=(), variants=(), minutes=(), seeds=(0, 1)):
    folders = {"cats": "/pictures/cats", "dogs": "/pictures/dogs"}
    return plan.expand(
        folders, plan.lengths_of(folders, minutes), plan.variants_of(variants), seeds, words
    )


def test_each_collection_length_variant_and_seed_is_a_run_of_its_own():
    variants = ["auto:", "slow: --lr=0.03 --epochs=3"]
    trials = expand(["--lr=1", "--cos"], variants, ["5", "15"])
    runs = [run for trial in trials for run in trial.runs]
    assert len(trials) == 8 and len({run.name for run in runs}) == len(runs) == 16
    last = runs[-1]
    assert last.name == "dogs_15min_slow_seed=1" and last.title == "dogs, 15min, slow"
    assert last.flags == {
        "lr": "0.03", "cos": "true", "epochs": "3", "minutes": "15", "dataset": "folder",
        "recipe": "auto", "data_dir": "/pictures/dogs", "seed": "1",
    }  # fmt: skip
    (plain,) = expand(seeds=[3])[:1]
    assert (plain.minutes, plain.variant, plain.runs[0].name) == (None, "", "cats_seed=3")
    assert "minutes" not in plain.runs[0].flags
    own = plan.lengths_of(["cats:60", "dogs", "cats:5"], ["15"])
    assert own == {"cats": ["60", "5"], "dogs": ["15"]}


def test_what_is_no_flag_or_no_variant_is_told():
    for words, message in (
        (["lr=1"], "lr=1: expected --NAME=VALUE, a flag of mocotf.train, after --"),
        (["--seed=3"], "--seed=3: every run has its own"),
    ):
        with pytest.raises(UserError, match=re.escape(message)):
            expand(words)
    for texts in (["--lr=1"], ["a: --lr=1", "a: --lr=2"]):
        with pytest.raises(UserError, match=f"--variant={texts[-1]}: expected a name of its own"):
            plan.variants_of(texts)


def test_a_run_that_was_begun_with_other_flags_is_refused(tmp_path):
    (run, other), _ = (trial.runs for trial in expand(["--lr=1"]))
    path = tmp_path / "logs" / "cats_seed=0.cfg"
    assert running.flags_of(run, tmp_path) == str(path)
    path.parent.mkdir()
    path.write_text("--lr=1\n--recipe=auto\n--dataset=folder\n--data_dir=/moved/cats\n--seed=0\n")
    plan.check_same([run, other], tmp_path)
    path.write_text(
        "--lr=2\n--recipe=auto\n--dataset=folder\n--data_dir=/pictures/cats\n--seed=0\n--cos=true\n"
    )
    message = "cats_seed=0 was begun with other flags (--cos=true there, (unset) here, --lr=2 there, 1"
    with pytest.raises(UserError, match=re.escape(message)):
        plan.check_same([run, other], tmp_path)


def done(knn, untrained=30.0, pixels=40.0, **flags):
    knn = {"knn_top1": knn, "knn_top1_untrained": untrained, "knn_top1_pixels": pixels}
    return {"seed": 0, "state": "done", "steps": 70, "flags": {"lr": "0.1"} | flags} | knn


def row(*runs, minutes="15", variant=""):
    return {"collection": "cats", "minutes": minutes, "variant": variant, "runs": [*runs]}


RUNS = {
    "a": done(50.0, 30.0, epochs="9"), "b": done(54.0, 32.0, epochs="10"), "c": done(46.0, 28.0),
    "low": done(41.0, 30.0), "high": done(43.0, 30.0), "failed": {"seed": 1, "state": "failed"},
}  # fmt: skip


def test_a_difference_has_the_standard_error_of_the_seeds_own_differences():
    found = row("a", "b", "c")
    # 20, 22, 18: deviation 2; 10, 14, 6: deviation 4
    assert page.difference(found, RUNS, "knn_top1_untrained") == pytest.approx((20, 2 / 3**0.5))
    assert page.difference(found, RUNS, "knn_top1_pixels") == pytest.approx((10, 4 / 3**0.5))
    assert page.is_above(found, RUNS)
    assert page.is_above(row("low", "high"), RUNS) is False  # of pixels 1 and 3: 2 ± 1 is not enough
    assert page.is_above(row("a", "failed"), RUNS) is None
    assert page.difference(row("a", "failed"), RUNS, "knn_top1_pixels") == (10, None)
    assert page.difference(row("failed"), RUNS, "knn_top1_pixels") == (None, None)


def stored():
    rows = [row("a", "b"), row("low", "high", variant="slow"), row("c", "failed", minutes=None)]
    facts = {"pictures": 6400, "queries": 840, "classes": 14}
    return {
        "jobs": 1, "flags": ["--cos"], "machine": {"cpu": "Some CPU", "cores": 2},
        "versions": {"tensorflow": "2.21.0"}, "collections": {"cats": facts}, "rows": rows,
        "runs": RUNS,
    }  # fmt: skip


def test_tables_are_made_of_stored_results(tmp_path):
    path = tmp_path / "a.md"
    path.write_text(f"# Mine\n{EMPTY}end\n")
    for _ in range(2):  # the second finds what the first wrote
        markers.write(path, page.PROGRAM, page.blocks(stored()))
    text = path.read_text()
    assert text.startswith(
        "# Mine\n<!-- recipes: setup -->\n5 of 6 runs, seeds 0, 1, one at a time, on 2 "
    )
    assert "tensorflow 2.21.0; flags of all: `--cos`." in text and text.endswith("\nend\n")
    counts = "6,400 | 14 | 840"
    for line in (
        f"| cats, 15 min | {counts} | 40.0 ± 0.0 | 31.0 ± 1.4 | 52.0 ± 2.8 | +12.0 (± 2.0) "
        "| +21.0 (± 1.0) | yes | 2 |",
        f"| cats, 15 min, slow | {counts} | 40.0 ± 0.0 | 30.0 ± 0.0 | 42.0 ± 1.4 | +2.0 (± 1.0) "
        "| +12.0 (± 1.0) | no | 2 |",
        f"| cats | {counts} | 40.0 | 28.0 | 46.0 | +6.0 | +18.0 | – | 1 (1 failed) |",
    ):
        assert text.count(f"\n{line}\n") == 1, text
    choices = [line for line in text.splitlines() if line.endswith("| 70 |")]
    assert len(choices) == 3 and choices[0].startswith("| cats, 15 min | – | – |")
    assert choices[0].endswith("| 9 to 10 | 70 |") and choices[0].count("| 0.1 |") == 1
    line = page.line(stored()["rows"][0], RUNS)
    assert line.startswith("cats 15 min: raw pixels 40.0 ± 0.0; untrained 31.0 ± 1.4; trained 52.0")


def test_the_document_has_a_place_for_every_table():
    markers.check(f"{processes.ROOT}/docs/reference/recipes.md", page.PROGRAM, page.BLOCKS)


@pytest.mark.slow
def test_collections_are_trained_on_told_of_and_resumed(tmp_path):
    for name, train in (("colours", 24), ("few", 12)):
        write_pictures(tmp_path / "folders" / name, train)
    document, out = tmp_path / "a.md", tmp_path / "out"
    document.write_text(EMPTY)
    arguments = [
        "--collections=colours,few", f"--folders={tmp_path}/folders", f"--out={out}", "--seeds=0,1",
        "--jobs=2", f"--markdown={document}", "--json", "--variant=good:",
        "--variant=bad: --batch_size=9", "--", *OPTIONS[1:], f"--arch={ARCH}", "--probe=false",
        "--steps=4",
    ]  # fmt: skip
    done = processes.run("tools/recipes.py", *arguments)
    assert done.code == 1 and done.out.startswith("8 runs, 0 of them done"), done
    assert "error: --batch_size=9: expected a multiple of 2" in done.out
    (good, bad), *_ = zip(*[iter(done.json["rows"])] * 2, strict=True)
    assert (good["runs"][1], bad["variant"]) == ("colours_good_seed=1", "bad")
    run, own = done.json["runs"]["colours_good_seed=1"], results(out / "colours_good_seed=1")
    assert own.items() <= run.items() and run["flags"]["seed"] == "1" and run["seconds"] > 0
    assert done.json["collections"]["few"]["pictures"] == 36
    assert "| colours, bad | 72 | 3 | 24 | – |" in document.read_text()
    logs = {log.name: log.read_text() for log in (out / "logs").glob("*_good_*.log")}
    assert len(logs) == 4

    again = processes.run("tools/recipes.py", *arguments)  # what is done is not run again
    assert again.code == 1 and again.out.startswith("8 runs, 4 of them done"), again
    assert logs == {log.name: log.read_text() for log in (out / "logs").glob("*_good_*.log")}
    assert again.json["runs"]["colours_good_seed=1"] == run


def test_mistakes_take_one_line(tmp_path):
    (tmp_path / "a.md").write_text("prose")
    for arguments, message in (
        (["--seeds=0,x"], "--seeds=0,x: 'x': expected whole numbers"),
        ([f"--markdown={tmp_path}/a.md"], "no place for setup; expected the lines <!-- recipes: setup"),
        (["--collections=mine", f"--folders={tmp_path}"], "mine: no such collection; expected one of"),
        (["--", "--model_dir=x"], "--model_dir=x: every run has its own"),
    ):
        processes.refuse("tools/recipes.py", [f"--out={tmp_path}/out", *arguments], message)
