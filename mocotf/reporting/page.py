"""One HTML page of a run, or of several side by side, that needs nothing beside itself."""

import dataclasses
import re

from mocotf.evaluation.classifier import Classifier
from mocotf.evaluation.measures import MEASURES
from mocotf.moco.config import MECHANISMS
from mocotf.moco.config import others_settings
from mocotf.reporting.charts import COLOURS
from mocotf.reporting.charts import line_chart
from mocotf.reporting.elements import element
from mocotf.reporting.elements import header
from mocotf.reporting.elements import page
from mocotf.reporting.elements import picture
from mocotf.reporting.elements import plain_table
from mocotf.reporting.maps import once
from mocotf.reporting.neighbours import Tile
from mocotf.reporting.neighbours import row
from mocotf.reporting.pictures import answers
from mocotf.reporting.pictures import view_sheet
from mocotf.reporting.runs import STAGES
from mocotf.reporting.runs import differing_flags
from mocotf.reporting.table import NOTHING
from mocotf.reporting.table import text
from mocotf.training.history import words

RESULTS = "Top-1 accuracy, unless said otherwise, in percent on held-out images."
DASHES = " A dash: not measured."
VIEWS = "Positive pairs, as training began: each query above its key."
ANSWERS = "Test images of the last measurement: the truth, and beside it what was found."
NEIGHBOURS = "At the left an image that is asked about, beside it the training images nearest to it."
FRAMES = "Green frames: of its class. Dashed orange ones: of another."
MAP = "Images that are near to each other are those that the encoder takes for alike."
FLAG = re.compile(r"(?<!\S)(--?\w+=?)")
RAW = "raw pixels"
SIDE = 96  # of a neighbour, pixels
CURVES = "Point at a curve for its numbers, or go along it by the arrow keys."
VERDICTS = {True: "verdict learned", False: "verdict nothing", None: "verdict"}  # classes of CSS
SHOWN = (
    "mechanism",
    "backbone",
    "arch",
    "dataset",
    "image_size",
    "channels",
    "batch_size",
    "lr",
    "moco_k",
    "moco_m",
    "moco_t",
    "seed",
)


def make_page(runs, sheets, galleries, maps, made):
    """Returns the text of the page.

    Args:
        runs: `Run`s, one or more, with metrics.
        sheets, galleries, maps: of each run its view sheet, gallery and map: an element, or a text that
            says why there is none.
        made: text that says by what and when the page was made.
    """
    whole = all(stage.name in run.numbers for run in runs for stage in _stages(runs))
    title = runs[0].name if len(runs) == 1 else f"{len(runs)} runs: " + ", ".join(r.name for r in runs)
    once(maps)
    return page(
        title,
        header(title, element("p", _subtitle(runs), class_="soft"), *_verdicts(runs)),
        _section(
            "Results",
            RESULTS + DASHES * (not whole),
            *(element("p", told, class_="soft") for run in runs for told in _collapses(run)),
            element(
                "div", _results(runs), class_="wide", tabindex="0", role="group", aria_label="results"
            ),
        ),
        _differences(runs) if len(runs) > 1 else None,
        _section("Curves", CURVES, element("div", *_curves(runs), class_="charts")),
        _answers(runs),
        _side("Map of the features", MAP, runs, maps),
        _side("Nearest neighbours", NEIGHBOURS, runs, galleries),
        _side("What the encoder saw", VIEWS, runs, sheets),
        _section("All flags", None, *_all_flags(runs)),
        element("footer", made),
        scripts=("charts.js", "map.js"),
    )


def gallery_figure(look, class_name):
    """Returns the rows of some queries of a `Look` and their neighbours.

    Args:
        look: a `Look`.
        class_name: label → text.
    """
    queries, _, labels = look.album.shown
    name = class_name if look.labelled else lambda label: ""
    rows = []
    for query, label, *near in zip(queries, labels, *look.album.nearest, strict=True):
        tiles = [
            Tile(picture, name(int(other)), float(similarity), _mark(label, other))
            for similarity, other, picture in zip(*near, strict=True)
        ]
        rows.append(row(Tile(query, name(int(label)), 1.0), tiles, SIDE))
    told = element("p", FRAMES, class_="soft") if look.labelled else None
    return element("div", told, *rows)


def _mark(label, other):
    return "" if label < 0 else "right" if label == other else "wrong"


def sheet_figure(run):
    """Returns the figure of the view pairs that a `Run` has kept, or why there is none."""
    sheet = view_sheet(run.path)
    if sheet is None:
        return "This run kept no picture of its views."
    return _picture(sheet, "pairs of views")


def _picture(jpeg, text):
    return element("figure", picture(jpeg, text, class_="picture"))


def _answers(runs):
    """Returns the section of what detectors and segmenters found; None where there are none."""
    found = [answers(run.path) for run in runs]
    if not any(found):
        return None
    figures = [_picture(jpeg, "truth and answers") if jpeg else "It answers nothing." for jpeg in found]
    return _side("What was found", ANSWERS, runs, figures)


def _subtitle(runs):
    told = runs[0].flags.keys() - differing_flags(runs).keys()
    if mechanism := _mechanism(runs[0]):
        told -= others_settings(mechanism.NAME).keys()
    if any("backbone" in run.flags for run in runs):
        told -= {"arch"}  # which does nothing then
    shared = [f"{name} {runs[0].flags[name]}" for name in SHOWN if name in told]
    steps = sorted({run.step for run in runs})
    span = f"{steps[0]:,}" if len(steps) == 1 else f"{steps[0]:,} to {steps[-1]:,}"
    return " · ".join([f"{span} steps", *shared])


def _collapses(run):
    """Yields what is to be said of each collapse of a run, and what was done about it."""
    for record in run.metrics:
        if "retry" in record:
            what = f"went on from step {record['step']:,} with {record['lr_factor']:.2g} times the rate"
        else:
            what = f"ended early, at step {record['step']:,}"
        if "collapsed_at" in record:
            yield f"{run.name} collapsed at step {record['collapsed_at']:,}, and {what}."


def _section(title, explanation, *children):
    told = element("p", explanation, class_="explanation") if explanation else None
    return element("section", element("h2", title), told, *children)


def _side(title, explanation, runs, figures):
    """Returns the section of a figure of each run, side by side."""
    blocks = []
    for run, figure in zip(runs, figures, strict=True):
        body = element("p", figure, class_="soft") if isinstance(figure, str) else figure
        name = element("h3", run.name) if len(runs) > 1 else None
        blocks.append(element("div", name, body))
    return _section(title, explanation, element("div", *blocks, class_="side" if blocks[1:] else "one"))


def _stages(runs):
    return [stage for stage in STAGES if any(stage.name in run.numbers for run in runs)]


def _results(runs):
    stages = _stages(runs)
    head = [element("th", "run", scope="col")] if len(runs) > 1 else []
    head += [element("th", stage.title, scope="col") for stage in stages]
    lines = []
    for i, run in enumerate(runs):
        name = element("td", _key(i), run.name, class_="run") if len(runs) > 1 else None
        lines.append(element("tr", name, *(_result(run, stage) for stage in stages)))
    return element(
        "table", element("thead", element("tr", *head)), element("tbody", *lines), class_="results"
    )


def _result(run, stage):
    value, digits = run.numbers.get(stage.name), 2 if stage.name == "loss" else 1
    if value is None:
        return element("td", NOTHING)
    cell = element("td", f"{value:.{digits}f}")
    for name, title in stage.beside.items():
        if (beside := run.numbers.get(name)) is not None:
            better = " above" if title == RAW and beside > value else ""
            told = f"{title} {beside:.{digits}f}" + (", better" if better else "")
            cell.append(element("span", told, class_=f"beside{better}"))
    return cell


def _verdicts(runs):
    for i, run in enumerate(runs):
        if run.verdict:
            name = [_key(i), f"{run.name}: "] if len(runs) > 1 else []
            words = _unbroken(run.verdict.text)
            yield element("p", *name, *words, class_=VERDICTS[run.verdict.learned])


def _unbroken(text):
    """Yields a text in parts: the names of flags are in elements that no line ends within."""
    for i, part in enumerate(FLAG.split(text)):
        yield element("span", part, class_="flag") if i % 2 else part


def charts(runs):
    """Returns the `Metric`s that have a chart; of one that mechanisms mean otherwise, all meanings."""
    found = {}
    for run in runs:
        loss, *others = (_mechanism(run) or Classifier).METRICS
        for metric in (loss, *MEASURES, *others):
            if metric.title:
                found.setdefault(metric.name, []).append(metric)
    meanings = {name: "; ".join(dict.fromkeys(m.meaning for m in same)) for name, same in found.items()}
    return [dataclasses.replace(same[0], meaning=meanings[name]) for name, same in found.items()]


def _mechanism(run):
    """Returns the mechanism of a run of `mocotf.train`; None of other commands."""
    return MECHANISMS.get(run.flags.get("mechanism", "moco")) if "moco_dim" in run.flags else None


def _curves(runs):
    for metric in charts(runs):
        series = [
            (run.name, COLOURS[i % len(COLOURS)], *run.curve(metric.name))
            for i, run in enumerate(runs)
            if run.curve(metric.name)[0]
        ]
        if series:
            levels = _levels(runs, metric)
            yield line_chart(metric.title, metric.meaning, series, levels, metric.percent)


def _levels(runs, metric):
    """Returns the level that a curve is compared with, where the runs agree on it, as a list."""
    found = {round(level, 6) for run in runs for level in run.curve(metric.level)[1]}
    return [(metric.level_title, found.pop())] if len(found) == 1 else []


def _differences(runs):
    flags = differing_flags(runs)
    if not flags:
        return _section("Flags that differ", "None: the runs were given the same flags.")
    rows = [[f"--{name}", *map(text, texts)] for name, texts in flags.items()]
    return _section(
        "Flags that differ", None, plain_table(["", *(r.name for r in runs)], rows, class_="flags")
    )


def _all_flags(runs):
    for run in runs:
        rows = [[f"--{name}", value] for name, value in sorted(run.flags.items())]
        changes = [[f"from step {c['step']} on", words(c["changes"])] for c in run.history]
        yield element(
            "details",
            element("summary", f"{run.path}: {len(rows)} flags"),
            plain_table(["flag", "value"], rows, class_="flags"),
            *([plain_table(["changed", "what"], changes, class_="flags")] if changes else []),
        )


def _key(i):
    return element("span", class_="key", style=f"background:{COLOURS[i % len(COLOURS)]}")
