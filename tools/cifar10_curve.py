r"""Holds runs of flags/cifar10.cfg against those of the authors' notebook, theirs and other people's.

    python tools/make_collection.py cifar10 runs/collections/cifar10
    python -m mocotf.train --flagfile=flags/cifar10.cfg --dataset=folder \
        --data_dir=runs/collections/cifar10 --log_every=1 --knn_every=5 --model_dir=runs/cifar10_seed0
    python tools/cifar10_curve.py runs/cifar10_seed0 --markdown=docs/reference/results.md

Runs may have been stopped, or go on: compared are the epochs that they have. They are kept in --record,
so that a run of another machine still counts; without runs, the table is made of what is there.
"""

import json
import os
import statistics
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from mocotf.cli import command  # isort: skip  (first: it keeps TensorFlow's notices off the terminal)

from absl import flags

from mocotf.errors import UserError
from mocotf.files import atomic_write
from mocotf.json_files import read_json
from mocotf.reporting.charts import COLOURS
from mocotf.reporting.charts import Series
from mocotf.reporting.charts import line_chart
from mocotf.training.flags_file import FLAGS_FILE
from mocotf.training.flags_file import read_flags
from mocotf.training.metrics_file import read_metrics
from tools import markers
from tools.ablations.figures import svg_file

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "record",
    "docs/reference/cifar10.json",
    "What runs had, the notebook's and ours: the runs that are named are added to it.",
)
flags.DEFINE_string("markdown", None, "Document that the table is written into, figures beside it.")

PROGRAM, BLOCK = "cifar10", "curve"  # as the markers have it
IMAGES = 50_000
KNN, LOSS = "knn_top1", "loss"
TITLES = {KNN: "kNN top-1, %", LOSS: "loss, mean of an epoch"}
PUBLISHED, MEASURED = "published", "measured"  # kinds of runs in the record
GRAYS = ("#5b6675", "#8a94a2", "#a9b1bc", "#bfc6ce", "#d2d7dd")
POINTS, SHARE = 2.5, 0.03  # by how much kNN, and the loss, may be off at least


def main(*paths):
    record = read_record(FLAGS.record)
    if FLAGS.markdown:
        markers.check(FLAGS.markdown, PROGRAM, [BLOCK])
    if paths:
        known = {run["name"]: run for run in record[MEASURED]}
        for run in map(curve, paths):
            known[run["name"]] = known.get(run["name"], {}) | run
        record[MEASURED] = [*known.values()]
        atomic_write(FLAGS.record, json.dumps(record, indent=1) + "\n")
    print(table(record))
    if FLAGS.markdown:
        write(FLAGS.markdown, record)
    command.print_json({MEASURED: record[MEASURED]})


def read_record(path):
    """Returns kind, `PUBLISHED` or `MEASURED`, → runs, each its name and what `curve` returns.

    Raises:
        UserError: it is no such file.
    """
    record = read_json(path, {PUBLISHED: list, MEASURED: list})
    if not record:
        raise UserError(
            f"--record={path}: is not there; expected docs/reference/cifar10.json, or a copy"
        )
    return record


def curve(path):
    """Returns a run's "name", and name of a number → epoch, from "1" → its value at the end of the
    epoch; the loss's is its mean within the epoch.

    Raises:
        UserError: it is no run with a record of each step.
    """
    config = os.path.join(path, FLAGS_FILE)
    if not os.path.exists(config):
        raise UserError(f"{path}: no run; expected the folder of a run of flags/cifar10.cfg")
    settings = read_flags(config)
    if settings.get("log_every") != "1":
        raise UserError(
            f"{path}: has --log_every={settings.get('log_every')}; expected a run of --log_every=1, "
            "whose records give the mean loss of an epoch"
        )
    steps_per_epoch = IMAGES // int(settings["batch_size"])
    found, losses = {KNN: {}, LOSS: {}}, {}
    for record in read_metrics(os.path.join(path, "metrics.jsonl")):
        epoch, rest = divmod(record["step"], steps_per_epoch)
        if LOSS in record:
            losses.setdefault(epoch + (rest > 0), []).append(record[LOSS])
        if KNN in record and epoch and not rest:
            found[KNN][str(epoch)] = record[KNN]
    for epoch, own in losses.items():
        if len(own) == steps_per_epoch:
            found[LOSS][str(epoch)] = round(statistics.fmean(own), 4)
    return {"name": os.path.basename(os.path.normpath(path))} | found


def table(record):
    """Returns the epochs that measured runs have, a Markdown table, with the verdict on them."""
    authors = record[PUBLISHED][0]
    lines = [["epoch", "", "the authors' log", "their notebook, all runs", "mocotf", "off by", ""]]
    lines.append(["---"] * len(lines[0]))
    for epoch in authors[KNN]:
        for name, title in TITLES.items():
            theirs, ours = (values_of(record[kind], name, epoch) for kind in (PUBLISHED, MEASURED))
            if ours:
                own = [_text(name, authors[name][epoch]), _spread(name, theirs), _spread(name, ours)]
                lines.append([epoch, title, *own, *compare(name, theirs, ours)])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def values_of(runs, name, epoch):
    """Returns a number at an epoch, of those of some runs that have it."""
    return [run[name][epoch] for run in runs if epoch in run[name]]


def compare(name, theirs, ours):
    """Returns (by how much the mean of our runs is off that of theirs, whether that is near enough).

    It may be off by `POINTS` of kNN, or by `SHARE` of the loss, or by twice the standard deviation of
    their runs, where that is more. Both are texts.
    """
    mean = statistics.fmean(theirs)
    off = statistics.fmean(ours) - mean
    most = max(POINTS if name == KNN else SHARE * mean, 2 * statistics.stdev(theirs))
    verdict = "agrees" if abs(off) <= most else "differs"
    if name == KNN:
        return f"{off:+.2f} (at most {most:.1f})", verdict
    return f"{100 * off / mean:+.1f} % (at most {100 * most / mean:.1f})", verdict


def write(document, record):
    """Writes the table into a document, and the figures into the folder beside it."""
    folder = os.path.join(os.path.dirname(document), "figures")
    os.makedirs(folder, exist_ok=True)
    parts = [table(record)]
    for name, title in TITLES.items():
        file = f"cifar10_{name}.svg"
        atomic_write(os.path.join(folder, file), figure(name, record))
        parts.append(f"![{title}](figures/{file})")
    markers.write(document, PROGRAM, {BLOCK: "\n\n".join(parts)})


def figure(name, record):
    """Returns the SVG file of a number against epochs, measured beside published."""
    ours = [run for run in record[MEASURED] if run[name]]
    last = max((int(epoch) for run in ours for epoch in run[name]), default=1)
    series = []
    for kind, runs, colours in ((PUBLISHED, record[PUBLISHED], GRAYS), (MEASURED, ours, COLOURS)):
        for i, run in enumerate(runs):
            shown = {
                int(epoch): y for epoch, y in run[name].items() if int(epoch) <= max(10, 1.5 * last)
            }
            title, colour = f"{kind}: {run['name']}", colours[i % len(colours)]
            series.append(Series(title, colour, [*shown], [*shown.values()], dashed=kind == PUBLISHED))
    title = f"CIFAR-10, {TITLES[name]}, against epoch"
    chart = line_chart(title, "", series, percent=name == KNN, x_name="epoch")
    return svg_file(title, chart, series)


def _spread(name, values):
    """Returns the text of some runs' mean and, of several, the lowest, the highest and their number."""
    text = _text(name, statistics.fmean(values))
    if len(values) == 1:
        return text
    low, high = (_text(name, one(values)) for one in (min, max))
    return f"{text} ({low} to {high}, {len(values)} runs)"


def _text(name, value):
    return f"{value:.2f}" if name == KNN else f"{value:.3f}"


if __name__ == "__main__":
    command.run(main, positional=None)
