"""A page of images beside those most similar to them: one HTML file, which needs no other."""

import os
import pathlib
from typing import NamedTuple

from mocotf.data.places.parts import read_named
from mocotf.data.places.remote import is_url
from mocotf.files import printable
from mocotf.reporting.elements import element
from mocotf.reporting.elements import header
from mocotf.reporting.elements import page
from mocotf.reporting.neighbours import Tile
from mocotf.reporting.neighbours import row

SIDE = 384  # of a picture, pixels: twice what is shown, for fine screens


class Found(NamedTuple):
    """An image that was found: what to call it, its file, its similarity in [-1, 1]."""

    name: str
    path: str
    similarity: float


def sheet(title, about, results, show):
    """Returns the page, text.

    Args:
        title: of the page.
        about: a line below it.
        results: a list of (path of a query, its `Found` in order).
        show: the bytes of an image file → uint8 picture `[h, w, 3]`; fails for what is none.
    """
    rows = (
        element("section", row(_tile(query, query, 1.0, show), [_tile(*f, show) for f in found], SIDE))
        for query, found in results
    )
    told = header(title, element("p", about, class_="soft"))
    return page(title, told, element("main", *rows, class_="big"))


def _tile(name, path, similarity, show):
    try:
        picture = show(read_named(path))
    except Exception:  # each place has its own
        picture = None
    link = path if is_url(path) else pathlib.Path(os.path.abspath(path)).as_uri()
    return Tile(picture, printable(name), similarity, link=link)
