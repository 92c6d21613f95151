"""Rows of pictures, each beside those most like it: of a report, and of a search."""

import io
from typing import NamedTuple

from PIL import Image

from mocotf.reporting.elements import element
from mocotf.reporting.elements import picture


class Tile(NamedTuple):
    """A picture that was found.

    Attributes:
        picture: uint8 `[h, w, 3]`; None where it is not there any more.
        name: of it, or of its class; "" without.
        similarity: to what was asked about, in [-1, 1].
        mark: "right", "wrong" or "", how it is framed.
        link: where it leads to, a URL; None: nowhere.
    """

    picture: object
    name: str
    similarity: float
    mark: str = ""
    link: str | None = None


def row(query, found, side):
    """Returns the element of a `Tile` that was asked about, its similarity is not told, and of those
    found, in order.

    Args:
        query: a `Tile`.
        found: `Tile`s.
        side: of a picture, pixels at most.
    """
    name = element("span", query.name, class_="name") if query.name else None
    caption = element("figcaption", name) if name is not None else None
    asked = element("figure", _frame(query, side), caption, class_="tile query")
    answers = (_found(rank, tile, side) for rank, tile in enumerate(found, 1))
    return element("div", asked, element("div", *answers, class_="found"), class_="row")


def thumbnail(pixels, side, kind="JPEG", quality=82):
    """Returns the bytes of a uint8 picture `[h, w, 3]` brought to at most `side` pixels."""
    image = Image.fromarray(pixels)
    image.thumbnail((side, side))
    encoded = io.BytesIO()
    image.save(encoded, kind, quality=quality)
    return encoded.getvalue()


def _found(rank, tile, side):
    width = round(100 * max(0, min(1, tile.similarity)))
    mark = {"right": " · same class", "wrong": " · another class"}.get(tile.mark, "")
    file = " file" if tile.link else ""
    caption = element(
        "figcaption",
        element("span", str(rank), class_="rank"),
        element("span", f"{tile.similarity:.3f}", class_="similarity"),
        element("div", element("i", style=f"width:{width}%"), class_="bar"),
        element("span", f"\u200e{tile.name}", class_=f"name{file}") if tile.name else None,
    )
    title = tile.name + mark
    return element(
        "figure", _frame(tile, side), caption, class_=f"tile {tile.mark}".strip(), title=title
    )


def _frame(tile, side):
    if tile.picture is None:
        return element("div", "not there", class_="missing")
    shown = picture(thumbnail(tile.picture, side), "" if tile.link is None else tile.name)
    if tile.link is None:
        return element("div", shown, class_="frame")
    return element("a", shown, href=tile.link, class_="frame")
