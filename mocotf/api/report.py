"""The HTML page of runs."""

import logging
import os
import time

import mocotf
from mocotf import terminal
from mocotf.api.data import data_of
from mocotf.api.data import open_and_tell
from mocotf.data.bad_images import BadImages
from mocotf.errors import UserError
from mocotf.files import atomic_write
from mocotf.moco.saved_run import open_run
from mocotf.reporting.maps import map_figure
from mocotf.reporting.page import gallery_figure
from mocotf.reporting.page import make_page
from mocotf.reporting.page import sheet_figure
from mocotf.reporting.pictures import BANK
from mocotf.reporting.pictures import MAPPED
from mocotf.reporting.pictures import look
from mocotf.reporting.runs import read_runs
from mocotf.tables import counted

HAS_MAP = "knn_features"  # the flag of runs whose encoder is looked at
log = logging.getLogger(__name__)


def write_page(asked, paths, out, projection="tsne", map_images=MAPPED):
    """Writes the page; returns what --json prints.

    Args:
        asked: `Asked` of `DataSettings`.
        paths: of the runs.
        out: path of the file.
        projection: one of `PROJECTIONS`.
        map_images: points of a map at most, up to `MOST_MAPPED`.

    Raises:
        UserError: there are no such runs, or the file cannot be written.
    """
    runs = read_runs(paths)
    for run in runs:
        if not run.metrics:
            raise UserError(
                f"{run.path}: has no metrics yet; expected a run that has logged some steps"
            )
    check_writable(out)
    size = write_runs(out, runs, [_pictures(asked, run, projection, map_images) for run in runs])
    return {"out": out, "runs": [run.path for run in runs], "bytes": size}


def write_runs(out, runs, pictures):
    """Writes the page of `Run`s, of each (gallery, map) as `look_at` returns them; returns its bytes.

    Raises:
        UserError: the file cannot be written.
    """
    galleries, maps = zip(*pictures, strict=True)
    made = f"mocotf {mocotf.__version__}, {time.strftime('%Y-%m-%d %H:%M')}"
    atomic_write(out, make_page(runs, list(map(sheet_figure, runs)), galleries, maps, made))
    size = os.path.getsize(out)
    print(f"{out}: {counted(len(runs), 'run')}, {size / 1e6:.1f} MB", flush=True)
    return size


def look_at(saved, source, bad_images, most, projection="tsne", *, bank=BANK, watch=None):
    """Returns (gallery, map), elements, of the pictures of a source under the encoder of a `SavedRun`;
    arguments as of `look`, and one of `PROJECTIONS`."""
    with terminal.phase("finding neighbours") as phase:

        def count(done, total):
            phase.total = total
            if watch:
                watch(done, total)

        seen = look(saved, source, bad_images, most, bank=bank, watch=count)
    with terminal.phase("drawing the map"):
        return gallery_figure(seen, source.class_name), map_figure(source, seen, projection)


def _pictures(asked, run, projection, map_images):
    """Returns (gallery, map) of a `Run`; in place of each, why there is none."""
    try:
        if HAS_MAP not in run.flags:
            raise UserError(f"{run.path}: is no pre-training run")
        saved = open_run(run.path)
        data = data_of(asked, saved)
        source = open_and_tell(data)
        bad_images = BadImages(None, source.size, data.max_bad_images, source.root)
        return look_at(saved, source, bad_images, map_images, projection)
    except UserError as error:
        log.warning("no neighbours and no map: %s", error)
        return (f"None: {error}.",) * 2


def check_writable(out):
    """Refuses a file that cannot be written before the work is done for it.

    Raises:
        UserError: it cannot be.
    """
    folder = os.path.dirname(out) or "."
    if not os.path.isdir(folder) or os.path.isdir(out) or not os.access(folder, os.W_OK):
        raise UserError(f"--out={out}: cannot be written; expected a file in a folder that is there")
