r"""Checks runs of flags/cifar10.cfg against the log of 200 epochs that the authors' notebook keeps.

    python tools/make_collection.py cifar10 runs/collections/cifar10
    python -m mocotf.train --flagfile=flags/cifar10.cfg --dataset=folder \
        --data_dir=runs/collections/cifar10 --log_every=1 --knn_every=5 --model_dir=runs/cifar10_seed0
    python tools/cifar10_curve.py runs/cifar10_seed0 runs/cifar10_seed1 \
        --markdown=docs/reference/results.md

Runs may have been stopped, or go on: compared are the epochs that they have. The authors' log is of one
run, by PyTorch on a V100.
"""

import os
import statistics
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from mocotf.cli import command  # isort: skip  (first: it keeps TensorFlow's notices off the terminal)

from absl import flags

from mocotf.errors import UserError
from mocotf.files import atomic_write
from mocotf.reporting.charts import COLOURS
from mocotf.reporting.charts import Series
from mocotf.reporting.charts import line_chart
from mocotf.training.flags_file import FLAGS_FILE
from mocotf.training.flags_file import read_flags
from mocotf.training.metrics_file import read_metrics
from tools import markers
from tools.ablations.figures import svg_file

FLAGS = flags.FLAGS
flags.DEFINE_list(
    "peers", [], "Runs of tools/peers/cifar10.py, shown beside; nothing is held against them."
)
flags.DEFINE_string("markdown", None, "Document that the table is written into, figures beside it.")

PROGRAM, BLOCK = "cifar10", "curve"  # as the markers have it
IMAGES = 50_000
KNN, LOSS = "knn_top1", "loss"
TITLES = {KNN: "kNN top-1, %", LOSS: "loss, mean of an epoch"}
PUBLISHED = {  # epoch → value
    KNN: {1: 31.98, 2: 33.52, 3: 34.71, 4: 36.98, 5: 37.95, 6: 39.87, 7: 41.86, 8: 44.18, 9: 46.34}
    | {10: 48.03, 15: 54.84, 20: 61.38, 25: 65.55, 30: 67.05, 40: 71.32}
    | {50: 73.30, 75: 75.93, 100: 78.06, 150: 81.18, 200: 82.58},
    LOSS: {1: 6.957, 2: 7.250, 3: 7.290, 4: 7.098, 5: 6.862, 6: 6.721, 7: 6.590, 8: 6.370, 9: 6.216}
    | {10: 5.991, 15: 5.054, 20: 4.341, 25: 3.913, 30: 3.692, 40: 3.384}
    | {50: 3.195, 75: 2.935, 100: 2.726, 150: 2.427, 200: 2.272},
}
POINTS, SHARE = 2.5, 0.03  # by how much kNN, and the loss, may be off


def main(*paths):
    if not paths:
        raise UserError("no run is named: expected the folders of runs of flags/cifar10.cfg")
    if FLAGS.markdown:
        markers.check(FLAGS.markdown, PROGRAM, [BLOCK])
    curves, peers = ({path: curve(path) for path in some} for some in (paths, FLAGS.peers))
    text = table(curves, peers)
    print(text)
    if FLAGS.markdown:
        folder = os.path.join(os.path.dirname(FLAGS.markdown), "figures")
        os.makedirs(folder, exist_ok=True)
        links = []
        for name, title in TITLES.items():
            file = f"cifar10_{name}.svg"
            atomic_write(os.path.join(folder, file), figure(name, curves | peers))
            links.append(f"![{title}](figures/{file})")
        markers.write(FLAGS.markdown, PROGRAM, {BLOCK: "\n\n".join([text, *links])})
    command.print_json({"curves": curves, "peers": peers})


def curve(path):
    """Returns what a run has: name of a number → epoch, from 1 → its value at the end of the epoch; the
    loss's is its mean within the epoch.

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
            found[KNN][epoch] = record[KNN]
    found[LOSS] = {
        epoch: statistics.fmean(own) for epoch, own in losses.items() if len(own) == steps_per_epoch
    }
    return found


def table(curves, peers):
    """Returns the published epochs that runs have, a Markdown table, and the verdict on `curves`."""
    names = [os.path.basename(os.path.normpath(path)) for path in curves | peers]
    lines = [["epoch", "", "published", *names, "off by", ""]]
    for epoch in PUBLISHED[KNN]:
        for name, title in TITLES.items():
            own, others = (
                [found[name].get(epoch) for found in some.values()] for some in (curves, peers)
            )
            if any(value is not None for value in own):
                published = PUBLISHED[name][epoch]
                shown = ["–" if value is None else _text(name, value) for value in own + others]
                found, verdict = compare(name, epoch, [v for v in own if v is not None])
                lines.append([str(epoch), title, _text(name, published), *shown, found, verdict])
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def compare(name, epoch, values):
    """Returns (by how much the mean of runs' values is off, whether that is near enough), texts.

    kNN may be off by `POINTS`, or twice the runs' standard deviation, where that is more; the loss by
    `SHARE` of it.
    """
    published, mean = PUBLISHED[name][epoch], statistics.fmean(values)
    if name == LOSS:
        off = mean / published - 1
        return f"{off:+.1%}".replace("%", " %"), "agrees" if abs(off) <= SHARE else "differs"
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    most = max(POINTS, 2 * deviation)
    off = mean - published
    return f"{off:+.2f} (at most {most:.1f})", "agrees" if abs(off) <= most else "differs"


def figure(name, curves):
    """Returns the SVG file of a number against epochs, measured beside published."""
    last = max((epoch for found in curves.values() for epoch in found[name]), default=1)
    shown = {epoch: y for epoch, y in PUBLISHED[name].items() if epoch <= max(10, 1.5 * last)}
    series = [
        Series("published: the authors' log", "#5b6675", [*shown], [*shown.values()], dashed=True)
    ]
    for colour, (path, found) in zip(COLOURS, curves.items(), strict=False):
        if found[name]:
            title = f"measured: {os.path.basename(os.path.normpath(path))}"
            series.append(Series(title, colour, [*found[name]], [*found[name].values()]))
    title = f"CIFAR-10, {TITLES[name]}, against epoch"
    chart = line_chart(title, "", series, percent=name == KNN, x_name="epoch")
    return svg_file(title, chart, series)


def _text(name, value):
    return f"{value:.2f}" if name == KNN else f"{value:.3f}"


if __name__ == "__main__":
    command.run(main, positional=None)
