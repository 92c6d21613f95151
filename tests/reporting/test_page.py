"""The report and the table: what is on them, of which runs, in a browser too."""

import html.parser
import json
import re
import sys
import types

import numpy as np
import pytest

from mocotf.errors import UserError
from mocotf.evaluation.unlabelled import NO_LABEL
from mocotf.reporting import charts
from mocotf.reporting import elements
from mocotf.reporting import page
from mocotf.reporting import pictures
from mocotf.reporting.maps import map_figure
from mocotf.reporting.page import charts as charts_of
from mocotf.reporting.page import make_page
from mocotf.reporting.runs import differing_flags
from mocotf.reporting.runs import read_runs
from mocotf.reporting.table import markdown
from mocotf.reporting.table import table
from mocotf.training.pictures import keep_picture
from tests.data.support import write_colours
from tests.reporting.support import CLASSES
from tests.reporting.support import LEARNED
from tests.reporting.support import NASTY
from tests.reporting.support import bare_run
from tests.reporting.support import run_main


class Page(html.parser.HTMLParser):
    """What a page is made of."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.texts, self.data = [], [], [], []
        self.feed(text)
        self.text = re.sub(r"\s+", " ", " ".join(self.texts))

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if ("type", "application/json") in attributes:
            self.data.append(None)
        self.links += [value for name, value in attributes if name in ("src", "href", "data")]

    def handle_data(self, data):
        if self.tags[-1:] == ["script"] and self.data and self.data[-1] is None:
            self.data[-1] = json.loads(data)
        self.texts.append(data)


def test_what_a_run_was_changed_to_is_told_beside_its_flags(tmp_path):
    change = {"step": 40, "time": 1.0, "changes": {"--lr": ["0.2", "0.1"], "replicas": [1, 2]}}
    path = bare_run(tmp_path / "run", {"flags.cfg": f"# changed {json.dumps(change)}\n--lr=0.1\n"})
    (flags,) = page._all_flags(read_runs([path]))
    told = [*flags.itertext()]
    assert "from step 40 on" in told and "--lr=0.2 to 0.1, replicas=1 to 2" in told


def test_runs_are_read_with_their_numbers(runs):
    first, second = read_runs([runs[0], runs[1] + "/", runs[0]])
    assert (first.name, second.name) == ("first", "second&<b>")
    assert first.step == 400 and first.numbers["knn_top1"] == 70.0
    assert first.numbers["knn_top1_untrained"] == 42.0 and "linear_top1" not in first.numbers
    assert second.numbers["linear_top1"] == 81.25
    steps, values = first.curve("knn_top1")
    assert steps == (0, 100, 200, 300, 400) and values == (42.0, 55.0, 60.0, 65.0, 70.0)
    assert first.curve("nothing") == ((), ())
    assert differing_flags([first, second]) == {"init_from": ["", NASTY], "lr": ["0.1", "0.2"]}


def test_records_that_are_no_numbers_are_no_points(tmp_path):
    lines = '{"step": 1, "time": 1, "loss": NaN}\n{"step": 2, "time": 1, "loss": 3.5}\nbroken\n'
    (run,) = read_runs([bare_run(tmp_path / "run", {"metrics.jsonl": lines})])
    assert run.curve("loss") == ((2,), (3.5,)) and run.numbers["loss"] == 3.5


def test_runs_of_one_name_are_told_apart(tmp_path):
    paths = [bare_run(tmp_path / parent / "run") for parent in "ab"]
    assert [run.name for run in read_runs(paths)] == ["a/run", "b/run"]


@pytest.mark.parametrize(("step", "shown"), [(1000, 80.0), (2000, 60.0)])
def test_a_number_of_an_earlier_checkpoint_does_not_stand_for_the_run(tmp_path, step, shown):
    records = [{"step": 1000, "knn_top1": 60.0}, {"step": 2000, "knn_top1": 80.0}]
    files = {
        "metrics.jsonl": "".join(json.dumps(record | {"time": 0.0}) + "\n" for record in records),
        "evaluation.json": json.dumps({"knn_top1": 60.0, "knn_top1_step": step, "linear_top1": 70.0}),
        "results.json": json.dumps({"knn_top1": 50.0, "steps": 1000}),
    }
    (run,) = read_runs([bare_run(tmp_path / "run", files)])
    assert (run.numbers["knn_top1"], run.numbers["linear_top1"]) == (shown, 70.0)
    assert "knn_top1_step" not in run.numbers


def test_the_table_is_markdown_and_json(runs, capsys, tmp_path):
    out = tmp_path / "table.md"
    run_main("--table", f"--out={out}", *runs)
    *lines, last = capsys.readouterr().out.splitlines()
    assert out.read_text() == "\n".join(lines) + "\n"
    *lines, blank, first, second = lines
    assert not blank and first.startswith(f"- first: {LEARNED}") and "second&<b>: this" in second
    assert {len(line) for line in lines} == {len(lines[0])}, "columns are aligned"
    rows = json.loads(last)["runs"]
    assert [row["learned"] for row in rows] == [True, True]
    assert [row["run"] for row in rows] == ["first", "second&<b>"]
    assert [row["--lr"] for row in rows] == ["0.1", "0.2"]
    assert [row["linear_top1"] for row in rows] == [None, 81.25]
    head, rule, *cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert head == ["run", "first", "second&<b>"], "a column each run: there are more names than runs"
    assert rule[1].endswith("-:") and ["linear_top1", "–", "81.25"] in cells
    assert "finetune_top1_untrained" not in [name for name, *_ in cells], "no run has it"


def test_a_table_is_never_wider_than_it_has_to_be():
    few, many = {"run": "a", "step": 3}, {f"--flag{i}": "b" for i in range(28)}
    assert markdown([few, few]).splitlines()[0] == "| run | step |"
    assert len(markdown([many] * 3).splitlines()) == 1 + 28
    assert len(markdown([many] * 40).splitlines()) == 2 + 40


def test_the_table_leaves_out_what_is_no_run(runs, capsys, caplog):
    run_main("--table", runs[0], __file__)
    assert "first" in capsys.readouterr().out
    assert "test_page.py: is no run; left out" in caplog.text


def test_cells_cannot_break_the_table():
    text = markdown([{"a": "x|y", "b": 1}, {"a": "line\nline", "b": None}])
    assert text.splitlines()[2] == "| x\\|y      | 1 |" and len(text.splitlines()) == 4


def test_a_run_that_has_logged_nothing_is_a_row_of_dashes(tmp_path):
    assert table(read_runs([bare_run(tmp_path / "new")])) == [{"run": "new", "step": 0}]


def test_one_page_has_all_of_several_runs_and_needs_nothing_else(written):
    page = Page(written.read_text())
    assert all(link.startswith("data:image/") for link in page.links)
    assert not {"b"} & {*page.tags} and page.tags.count("script") == 2 + 1, "texts are escaped"
    for text in (
        NASTY, "second&<b>", "Results", "Flags that differ", "Curves", "Nearest neighbours",
        LEARNED, "35.1 points above raw pixels, 28.0 points above the untrained", "Map of the features",
        "This run kept no picture of its views.", "6 images", *CLASSES,
        "70.0", "raw pixels 34.9", "untrained 42.0", "81.2", "untrained 55.5", "90.0",
        "chance 6.93", "–",
    ):  # fmt: skip
        assert text in page.text, text
    assert page.tags.count("svg") == 6 and page.tags.count("canvas") == 2  # curves, maps
    assert page.text.index(LEARNED) < page.text.index("Top-1 accuracy, unless"), (
        "the verdict comes first"
    )
    galleries = 2 * 6 * (1 + 8)
    assert page.tags.count("img") == galleries + 2, "and the views of the first, and one sheet for both"


def test_raw_pixels_that_are_better_are_said_to_be(tmp_path):
    records = [{"step": 0, "knn_top1": 20.0, "knn_top1_pixels": 37.5, "time": 1.0}]
    records.append({"step": 9, "loss": 1.0, "knn_top1": 28.5, "time": 2.0})
    path = bare_run(tmp_path / "run", {"metrics.jsonl": "\n".join(map(json.dumps, records))})
    (run,) = read_runs([path])
    assert run.numbers["knn_top1_pixels"] == 37.5
    (row,) = table([run])
    assert (row["knn_top1"], row["knn_top1_pixels"]) == (28.5, 37.5)
    assert "raw pixels 37.5, better" in make_page([run], ["none"], ["none"], ["none"], "now")


def test_a_page_without_data_says_why_and_has_the_rest(runs, capsys, tmp_path):
    out = tmp_path / "report.html"
    run_main(f"--out={out}", "--dataset=folder", f"--data_dir={tmp_path / 'gone'}", runs[0])
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found == {"out": str(out), "runs": runs[:1], "bytes": out.stat().st_size}
    page = Page(out.read_text())
    assert page.text.count("gone: no such folder") == 2
    assert page.tags.count("svg") == 6 and "Flags that differ" not in page.text


def test_mistakes_take_one_line_and_write_nothing(runs, tmp_path):
    new, broken = bare_run(tmp_path / "new"), bare_run(tmp_path / "broken", {"results.json": "[1"})
    out = f"--out={tmp_path}/report.html"
    for arguments, message in (
        ([out], "no run is named"),
        ([out, str(tmp_path)], "no flags.cfg; expected the --model_dir of a run"),
        (["--table", str(tmp_path)], "no flags.cfg"),
        ([out, new], "has no metrics yet"),
        ([out, runs[0], new], "new: has no metrics yet"),
        (["--table", broken], "results.json: is damaged, .*once more, writes"),
        ([f"--out={tmp_path}/no/report.html", runs[0]], "cannot be written; expected a file in a"),
        ([f"--out={tmp_path}", runs[0]], "cannot be written"),
        (["--table", f"--out={tmp_path}/no/table.md", runs[0]], "cannot be written"),
    ):
        with pytest.raises(UserError, match=message) as error:
            run_main(*arguments)
        assert "\n" not in str(error.value)
    assert not list(tmp_path.glob("*report.html*"))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (0, 0, [0, 0.2, 0.4, 0.6, 0.8, 1]), (3, 3, [0, 1, 2, 3]),
        (0, 1000, [0, 200, 400, 600, 800, 1000]), (5.24, 6.93, [5, 5.5, 6, 6.5, 7]),
        (-0.01, 0.03, [-0.01, 0, 0.01, 0.02, 0.03]),
    ],
)  # fmt: skip
def test_ticks_are_round_and_span_the_values(low, high, expected):
    assert charts.ticks(low, high) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"), (6.93, "6.93"), (12.5, "12.5"), (1200, "1,200"), (40_000, "40k"), (1.2e6, "1.2M"),
        (12_500, "12.5k"), (0.0005, "5.0e-4"), (-3.25, "-3.25"), (100, "100"),
    ],
)  # fmt: skip
def test_numbers_on_axes_are_short(value, shown):
    assert charts.number(value) == shown


def test_a_chart_holds_its_curves_and_levels():
    steps = tuple(range(0, 5000, 5))
    series = [("a", "#123456", steps, [float(s) for s in steps]), ("b", "#654321", (0, 9), (1.0, 2.0))]
    chart = charts.line_chart("Title", "meaning", series, [("chance", 6000.0)])
    assert {"Title", "meaning", "chance 6,000", "a", "b", "step"} <= set(chart.itertext())
    path, _ = (part.get("d") for part in chart.iter("path"))
    points = [tuple(map(float, p.split())) for p in path.strip("M").split("L")]
    assert len(points) < 500
    xs, ys = zip(*points, strict=True)
    assert list(xs) == sorted(xs) and list(ys) == sorted(ys, reverse=True)
    assert 0 < min(xs) < max(xs) < 520 and 0 < min(ys) < max(ys) < 270
    hints = [part.text for part in chart.iter("title")]
    assert "a, step 0: 0" in hints and "b, step 9: 2" in hints


def test_the_tree_escapes():
    bold = elements.element("b", "c")
    text = elements.page("<t>", elements.element("p", "a < b & ", bold, " > d", title='"x"'))
    assert "<title>&lt;t&gt;</title>" in text
    assert '<p title="&quot;x&quot;">a &lt; b &amp; <b>c</b> &gt; d</p>' in text


@pytest.mark.parametrize("projection", ["pca", "tsne"])
def test_a_map_keeps_clusters_apart_and_is_the_same_each_time(projection):
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    points = (10 * np.eye(3, 70)[labels] + rng.normal(size=(60, 70))).astype(np.float32)
    before, plane = pictures.project(np.stack([points + 0.1, points]), projection)
    moved = np.linalg.norm(before - plane, axis=1)
    assert np.median(moved) < 0.1, "what has not moved stays where it is"
    assert plane.shape == (60, 2) and plane.min() >= 0 and plane.max() <= 1
    centres = np.stack([plane[labels == c].mean(axis=0) for c in range(3)])
    nearest = np.linalg.norm(plane[:, None] - centres, axis=2).argmin(axis=1)
    np.testing.assert_array_equal(nearest, labels)
    np.testing.assert_array_equal(plane, pictures.project(points[None], projection)[0])


def test_pictures_without_labels_are_looked_at_too(runs, tmp_path):
    write_colours(str(tmp_path / "photos"), 40)
    out = tmp_path / "report.html"
    run_main(f"--out={out}", "--dataset=folder", f"--data_dir={tmp_path / 'photos'}", runs[0])
    page = Page(out.read_text())
    assert "4 images, without labels" in page.text and "same class" not in out.read_text()
    (run,) = read_runs(runs[:1])
    points_of_curves = sum(len(run.curve(metric.name)[0]) for metric in charts_of([run]))
    assert page.tags.count("circle") == points_of_curves
    (found,) = page.data
    assert len(found["labels"]) == 4 and found["names"] == [""] and "fieldset" not in page.tags


def test_without_scikit_learn_it_is_told_in_place_of_the_map(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    labels = np.full(4, NO_LABEL)
    seen = pictures.Look([0], np.ones([1, 4, 2], np.float32), labels, labels, None, None, 0, 0)
    told = map_figure(None, seen, "pca")
    assert re.fullmatch(r"None: a map .*: sklearn is not .*; try: pip .*\[evaluation\]'\.", told)
    assert caplog.messages == [told.removesuffix(".").replace("None", "no map")]


def test_a_detectors_answers_and_ap_are_on_the_page(runs, tmp_path):
    metrics, results = {"step": 9, "loss": 1.0, "ap": 12.5, "time": 1.0}, {"detect_ap": 12.5}
    files = {"metrics.jsonl": json.dumps(metrics), "results.json": json.dumps(results)}
    run = bare_run(tmp_path / "detector", files)
    own = types.SimpleNamespace(file=lambda name: f"{run}/{name}")
    for step, level in ((5, 50), (10, 200)):
        keep_picture(own, "detect", step, np.full((40, 40, 3), level, np.uint8))
    out = tmp_path / "page.html"
    run_main(run, f"--out={out}")
    text = out.read_text()
    assert "What was found" in text and "Detection, AP" in text and "12.5" in text
    with open(f"{run}/pictures/detect-10.jpg", "rb") as latest:
        assert pictures.answers(run) == latest.read()
    run_main(runs[0], f"--out={out}")
    assert "What was found" not in out.read_text()


def test_of_a_keras_backbone_the_page_says_which_and_not_an_arch():
    flags = {"arch": "resnet50", "lr": "0.1", "backbone": "keras.applications:Xception"}
    run, resnet = (types.SimpleNamespace(flags=f, step=3) for f in (flags, {"arch": "resnet50"}))
    assert page._subtitle([run]) == "3 steps · backbone keras.applications:Xception · lr 0.1"
    assert page._subtitle([resnet]) == "3 steps · arch resnet50"


def test_a_collapse_and_what_was_done_about_it_are_on_the_page(tmp_path):
    loss = {"step": 20, "time": 1.0, "loss": 5.0}
    retry = {"step": 200, "time": 1.0, "retry": 1, "collapsed_at": 1410, "lr_factor": 1 / 3}
    lines = [json.dumps(one) for one in (loss, retry, loss | {"step": 1611, "collapsed_at": 1610})]
    (run,) = read_runs([bare_run(tmp_path / "run", {"metrics.jsonl": "\n".join(lines)})])
    text = make_page([run], ["none"], ["none"], ["none"], "now")
    assert "run collapsed at step 1,410, and went on from step 200 with 0.33 times the rate." in text
    assert "run collapsed at step 1,610, and ended early, at step 1,611." in text
