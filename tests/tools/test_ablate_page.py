"""The tables, figures and document that are made of a grid's runs."""

from xml.etree import ElementTree

import pytest

from mocotf.errors import UserError
from tests import processes
from tools import markers
from tools.ablations import figures
from tools.ablations import grids
from tools.ablations import outcomes
from tools.ablations import page
from tools.ablations.signs import LONGER
from tools.ablations.signs import SIGNS

EMPTY = "<!-- ablate: setup --><!-- end of setup --><!-- ablate: g --><!-- end of g -->"


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


def test_a_new_document_has_titles_and_places_and_that_of_the_docs_one_of_the_signs(tmp_path):
    path = tmp_path / "new" / "tables.md"
    page.prepare(str(path), [grids.Group("g", "Of g", "Says so.", ())])
    page.write(str(path), results_of(group_of([row("m 0", ["a"])]), runs={"a": result(60.0)}))
    lines = [line for line in path.read_text().splitlines() if line.startswith(("#", "|"))]
    assert lines[:2] == ["# Ablations", "## Of g"] and lines[-1].startswith("| m 0 | 60.0 |")
    with pytest.raises(UserError, match="no place for signs"):
        page.prepare(str(path), [SIGNS])
    page.prepare(f"{processes.ROOT}/docs/reference/ablations.md", [SIGNS, LONGER])


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
