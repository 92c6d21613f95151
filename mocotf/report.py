r"""Writes a report of runs: one HTML page that needs nothing beside itself, or a table.

    python -m mocotf.report runs/demo --out=report.html
    python -m mocotf.report runs/a runs/b runs/c --out=report.html
    python -m mocotf.report --table runs/*

The page has results, curves, views, nearest neighbours, a map of the features and the flags, of
several runs side by side. The table, in Markdown, has the results and the flags that differ.
"""

from mocotf.cli import command  # first: it keeps TensorFlow's start-up notices off the terminal

# isort: split
import logging
import os
import time

from absl import flags

import mocotf
from mocotf.cli import data_flags
from mocotf.cli.found import open_and_tell
from mocotf.data.bad_images import BadImages
from mocotf.errors import UserError
from mocotf.files import atomic_write
from mocotf.moco.saved_run import open_run
from mocotf.reporting.page import gallery_figure
from mocotf.reporting.page import make_page
from mocotf.reporting.page import map_figure
from mocotf.reporting.page import sheet_figure
from mocotf.reporting.pictures import PROJECTIONS
from mocotf.reporting.pictures import look
from mocotf.reporting.runs import is_run
from mocotf.reporting.runs import read_runs
from mocotf.reporting.table import markdown
from mocotf.reporting.table import table
from mocotf.reporting.table import verdicts

FLAGS = flags.FLAGS
log = logging.getLogger(__name__)

flags.DEFINE_string(
    "out", None, "File to write. Default: report.html; with --table none but the terminal."
)
flags.DEFINE_bool("table", False, "A table of the runs, in Markdown, in place of the page.")
flags.DEFINE_enum(
    "projection",
    "tsne",
    PROJECTIONS,
    "Map of the features: tsne, which keeps neighbours together, or pca, which keeps distances.",
)


def main(*paths):
    if not paths:
        raise UserError("no run is named; expected python -m mocotf.report RUN [RUN ...]")
    if FLAGS.table:
        write_table(paths)
    else:
        write_page(paths)


def write_table(paths):
    """Prints the table, and writes it where --out says. What is no run is left out."""
    known = [path for path in paths if is_run(path)]
    for path in paths if known else ():
        if path not in known:
            log.warning("%s: is no run; left out", path)
    runs = read_runs(known or paths)
    rows, judged = table(runs), verdicts(runs)
    text = markdown(rows) + (f"\n{judged}" if judged else "")
    if FLAGS.out:
        check_writable(FLAGS.out)
        write(FLAGS.out, text)
    print(text, end="", flush=True)
    command.print_json({"runs": rows, "out": FLAGS.out})


def write_page(paths):
    """Writes the page."""
    out = FLAGS.out or "report.html"
    runs = read_runs(paths)
    for run in runs:
        if not run.metrics:
            raise UserError(
                f"{run.path}: has no metrics yet; expected a run that has logged some steps"
            )
    check_writable(out)
    galleries, maps = zip(*map(pictures, runs), strict=True)
    made = f"mocotf {mocotf.__version__}, {time.strftime('%Y-%m-%d %H:%M')}"
    write(out, make_page(runs, list(map(sheet_figure, runs)), galleries, maps, made))
    size = os.path.getsize(out)
    print(f"{out}: {len(runs)} runs, {size / 1e6:.1f} MB", flush=True)
    command.print_json({"out": out, "runs": [run.path for run in runs], "bytes": size})


def pictures(run):
    """Returns (gallery, map) of a `Run`; in place of each, why there is none."""
    try:
        if "knn_features" not in run.flags:
            raise UserError(f"{run.path}: is no pre-training run")
        saved = open_run(run.path)
        data = data_flags.read_for(saved)
        source = open_and_tell(data)
        bad_images = BadImages(None, source.size, data.max_bad_images, source.root)
        seen = look(saved, source, bad_images)
    except UserError as error:
        log.warning("no neighbours and no map: %s", error)
        return (f"None: {error}.",) * 2
    return gallery_figure(seen), map_figure(source, seen, FLAGS.projection)


def check_writable(out):
    """Refuses a file that cannot be written before the work is done for it.

    Raises:
        UserError: it cannot be.
    """
    folder = os.path.dirname(out) or "."
    if not os.path.isdir(folder) or os.path.isdir(out) or not os.access(folder, os.W_OK):
        raise UserError(f"--out={out}: cannot be written; expected a file in a folder that is there")


def write(out, text):
    """Writes the file that --out names.

    Raises:
        UserError: it cannot be written.
    """
    try:
        atomic_write(out, text)
    except OSError as error:
        raise UserError(f"--out={out}: {error.strerror}; expected a file to write") from error


if __name__ == "__main__":
    flags.adopt_module_key_flags(data_flags)
    command.run(main, positional=None)
