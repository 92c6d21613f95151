r"""Writes a report on runs: one self-contained HTML page, or a table.

    python -m mocotf.report runs/demo --out=report.html
    python -m mocotf.report runs/a runs/b runs/c --out=report.html
    python -m mocotf.report --table runs/*

The page has results, curves, views, nearest neighbours, a map of the features and the flags, of
several runs side by side. The table, in Markdown, has the results and the flags that differ.
"""

from mocotf.cli import command  # first: it keeps TensorFlow's start-up notices off the terminal

# isort: split
import logging

from absl import flags

from mocotf.api.report import check_writable
from mocotf.api.report import write_page
from mocotf.cli import settings_flags
from mocotf.data.settings import DataSettings
from mocotf.errors import UserError
from mocotf.files import atomic_write
from mocotf.reporting.pictures import MAPPED
from mocotf.reporting.pictures import MOST_MAPPED
from mocotf.reporting.pictures import PROJECTIONS
from mocotf.reporting.runs import read_runs
from mocotf.reporting.table import markdown
from mocotf.reporting.table import table
from mocotf.reporting.table import verdicts
from mocotf.training.flags_file import is_run

FLAGS = flags.FLAGS
log = logging.getLogger(__name__)

settings_flags.define(DataSettings)
flags.DEFINE_string(
    "out", None, "File to write. Default: report.html; with --table none but the terminal."
)
flags.DEFINE_bool("table", False, "A table of the runs in Markdown, instead of the page.")
flags.DEFINE_enum(
    "projection",
    "tsne",
    PROJECTIONS,
    "Map of the features: tsne, which keeps neighbours together, or pca, which keeps distances.",
)
flags.DEFINE_integer(
    "map_images",
    MAPPED,
    "At most this many held-out images on the map, 2 kB of the page each.",
    lower_bound=4,
    upper_bound=MOST_MAPPED,
)


def main(*paths):
    if not paths:
        raise UserError("no run is named; expected python -m mocotf.report RUN [RUN ...]")
    if FLAGS.table:
        write_table(paths)
    else:
        asked = settings_flags.asked()
        out = FLAGS.out or "report.html"
        command.print_json(write_page(asked, paths, out, FLAGS.projection, FLAGS.map_images))


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
        atomic_write(FLAGS.out, text)
    print(text, end="", flush=True)
    command.print_json({"runs": rows, "out": FLAGS.out})


if __name__ == "__main__":
    command.run(main, positional=None)
