"""The gallery of nearest neighbours: what an encoder takes for alike."""

import logging

import numpy as np

from mocotf.errors import UserError
from mocotf.evaluation.projector import write_projector
from mocotf.training.pictures import keep_picture

log = logging.getLogger(__name__)

# Told apart by all kinds of eyes (Okabe and Ito's palette).
RIGHT = (0, 158, 115)
WRONG = (213, 94, 0)
UNKNOWN = (160, 160, 160)
PAPER = 255
FRAME = 4  # pixels
GAP = 4
SMALLEST = 64  # pixels of a picture as drawn; smaller ones would be stamps


def show(run_dir, step, album, class_names=()):
    """Keeps the gallery of an `Album` as the picture "neighbours", and its queries for the projector.

    A full disk is told, but ends no run: what a run needs it writes after this.

    Args:
        run_dir: a `RunDir`.
        step: of the run.
        album: an `Album` that has seen an extraction.
        class_names: of each label, if they have names.
    """
    try:
        keep_picture(run_dir, "neighbours", step, draw_gallery(album))
        write_projector(run_dir, album, class_names)
    except UserError as error:
        log.warning("%s; step %d has no gallery", error, step)


def draw_gallery(album):
    """Returns the gallery of an `Album`: a row each query, at the left, with its nearest neighbours.

    A neighbour of the query's class is framed green, of another orange, and grey where the query has
    no label.

    Returns:
        uint8 `[height, width, 3]`.
    """
    queries, _, labels = album.shown
    _, neighbour_labels, neighbours = album.nearest
    rows = []
    for query, label, pictures, classes in zip(
        queries, labels, neighbours, neighbour_labels, strict=True
    ):
        frames = [UNKNOWN if label < 0 else RIGHT if c == label else WRONG for c in classes]
        tiles = [_tile(*pair) for pair in zip(pictures, frames, strict=True)]
        first = _tile(query, (PAPER,) * 3)
        rows.append(np.concatenate([first, np.full_like(first, PAPER)[:, : 2 * GAP], *tiles], axis=1))
    return np.pad(np.concatenate(rows), ((GAP, 0), (GAP, 0), (0, 0)), constant_values=PAPER)


def _tile(picture, colour):
    """Returns a picture in a frame, with a gap below and to the right of it."""
    enlarge = -(-SMALLEST // len(picture))
    picture = picture.repeat(enlarge, axis=0).repeat(enlarge, axis=1)
    side = len(picture) + 2 * FRAME
    tile = np.full((side + GAP, side + GAP, 3), PAPER, np.uint8)
    tile[:side, :side] = colour
    tile[FRAME : side - FRAME, FRAME : side - FRAME] = picture
    return tile
