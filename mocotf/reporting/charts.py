"""Charts of a report: curves over steps, as SVG."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from mocotf.reporting.elements import element

WIDTH, HEIGHT = 520, 270
LEFT, RIGHT, TOP, BOTTOM = 46, 18, 12, 34
COLOURS = ("#2563c9", "#e06c00", "#13865a", "#b3367f", "#6a4cc4", "#0f8ea0", "#c03030", "#7a5c2e")
MOST_POINTS = 400  # of a curve
HOVERED = 120  # points of a curve that answer to the pointer


class Series(NamedTuple):
    """One curve of a `line_chart`.

    Attributes:
        name: for people.
        colour: CSS.
        xs, ys: of its points, as many of each, at least one.
        errors: half the height of each point's error bar; 0 draws none. Empty: no bars.
        dashed: how its line is drawn.
    """

    name: str
    colour: str
    xs: Sequence[float]
    ys: Sequence[float]
    errors: Sequence[float] = ()
    dashed: bool = False


def line_chart(title, explanation, series, references=(), percent=False, x_name="step", log2=False):
    """Returns the figure of some curves.

    Args:
        title, explanation: what is drawn, and what it means; texts.
        series: of each curve a `Series`, or a tuple of its first attributes.
        references: (name, value) of levels to compare with, drawn as dashed lines.
        percent: values are percentages: the axis never leaves 0 to 100.
        x_name: what the x axis is, a word.
        log2: the x axis is logarithmic, with a tick at every power of 2; else it begins at 0.
    """
    series = [Series(*one) for one in series]
    values = [y + sign * e for one in series for y, e in _with_errors(one) for sign in (-1, 1)]
    values += [level for _, level in references]
    y_ticks = ticks(min(values), max(values))
    low, high = y_ticks[0], y_ticks[-1]
    if percent:
        low, high = max(low, 0), min(high, 100)
    scale = math.log2 if log2 else float
    x_ticks = (_powers if log2 else _from_zero)([x for one in series for x in one.xs])
    first, last = scale(x_ticks[0]), max(scale(x) for one in series for x in one.xs)
    if log2:
        first, last = first - 0.25, last + 0.25
    last = last if last > first else first + 1

    def place(x, y):
        return (
            LEFT + (WIDTH - LEFT - RIGHT) * (scale(x) - first) / (last - first),
            HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (min(max(y, low), high) - low) / (high - low),
        )

    parts = _grid(
        [(x, place(x, low)[0]) for x in x_ticks if scale(x) <= last],
        [(y, place(x_ticks[0], y)[1]) for y in y_ticks if low <= y <= high],
        x_name,
    )
    for name, level in references:
        y = place(x_ticks[0], level)[1]
        line = _line(
            LEFT, y, WIDTH - RIGHT, y, class_="reference", stroke="#5b6675", stroke_dasharray="5 4"
        )
        above = y - 4 if y > TOP + 12 else y + 12
        where = {"x": WIDTH - RIGHT, "y": _2(above), "text_anchor": "end", "class_": "level"}
        label = element("text", f"{name} {number(level)}", **where)
        parts += [line, label]
    for one in series:
        parts += _curve(one, f"{one.name}, " if len(series) > 1 else "", x_name, place)
    cursor = _line(LEFT, TOP, LEFT, HEIGHT - BOTTOM, class_="cursor", visibility="hidden")
    svg = element(
        "svg",
        *parts,
        cursor,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=title,
        tabindex="0",
    )
    caption = element("figcaption", title, element("small", explanation))
    keys = legend(series) if len(series) > 1 else None
    return element("figure", caption, svg, keys, class_="chart")


def legend(series):
    """Returns the names of curves beside their colours."""
    keys = (
        element("span", element("span", class_="key", style=f"background:{colour}"), name)
        for name, colour, *_ in series
    )
    return element("div", *keys, class_="legend")


def ticks(low, high, about=5):
    """Returns about so many round numbers, rising, that span low to high."""
    if high <= low:
        low, high = min(low, 0.0), max(low, 0.0) or 1.0
    raw = (high - low) / about
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * m for m in (1, 2, 2.5, 5, 10) if unit * m >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def number(value):
    """Returns a number as an axis shows it: 0.05, 6.93, 12.5, 1,200, 40k, 1.2M."""
    if value and abs(value) < 0.001:
        return f"{value:.1e}".replace("e-0", "e-")
    for size, letter in ((1e6, "M"), (1e4, "")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}" if letter else f"{value / 1000:.4g}k"
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def _grid(x_ticks, y_ticks, x_name):
    """Returns the grid and what is written on the axes; each tick is (value, place)."""
    bottom = HEIGHT - BOTTOM
    parts = []
    for value, y in y_ticks:
        parts.append(_line(LEFT, y, WIDTH - RIGHT, y, class_="grid", stroke="#e4e8ed"))
        parts.append(element("text", number(value), x=LEFT - 7, y=_2(y + 4), text_anchor="end"))
    for value, x in x_ticks:
        parts.append(_line(x, bottom, x, bottom + 4, class_="axis", stroke="#9aa4b0"))
        parts.append(element("text", number(value), x=_2(x), y=bottom + 16, text_anchor="middle"))
    parts.append(_line(LEFT, bottom, WIDTH - RIGHT, bottom, class_="axis", stroke="#9aa4b0"))
    parts.append(element("text", x_name, x=WIDTH - RIGHT, y=HEIGHT - 4, text_anchor="end"))
    return parts


def _curve(one, name, x_name, place):
    points = _thinned(one.xs, _with_errors(one))
    places = [place(x, y) for x, (y, _) in points]
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    style = {"class_": "curve", "stroke_dasharray": "6 4" if one.dashed else None}
    style |= {"fill": "none", "stroke": one.colour, "stroke_width": 2, "stroke_linejoin": "round"}
    parts = [element("path", d=path, **style)]
    for x, (y, error) in points:
        if error:
            (across, low), (_, high) = place(x, y - error), place(x, y + error)
            bar = f"M{across - 4:.1f} {low:.1f}h8m-4 0V{high:.1f}m-4 0h8"
            parts.append(element("path", d=bar, fill="none", stroke=one.colour, stroke_width=1.2))
    few = len(points) <= 12
    for (x, (y, error)), (across, down) in list(zip(points, places, strict=True))[
        :: -(-len(points) // HOVERED)
    ]:
        spread = f" ± {number(error)}" if error else ""
        hint = element("title", f"{name}{x_name} {x:,}: {number(y)}{spread}")
        dot = element(
            "circle", hint, cx=_2(across), cy=_2(down), r=3 if few else 6, data_curve=one.name
        )
        dot.set("fill", one.colour if few else "transparent")
        parts.append(dot)
    return parts


def _with_errors(one):
    return list(zip(one.ys, one.errors or [0] * len(one.ys), strict=True))


def _from_zero(xs):
    return ticks(0, max(xs))


def _powers(xs):
    """Returns the powers of 2 that span some numbers above 0, rising."""
    low, high = math.floor(math.log2(min(xs))), math.ceil(math.log2(max(xs)))
    return [2**i for i in range(low, high + 1)]


def _thinned(xs, ys):
    every = -(-len(xs) // MOST_POINTS)
    points = list(zip(xs, ys, strict=True))
    return points[::every] + ([points[-1]] if (len(points) - 1) % every else [])


def _line(x1, y1, x2, y2, **style):
    return element("line", x1=_2(x1), y1=_2(y1), x2=_2(x2), y2=_2(y2), **style)


def _2(value):
    return f"{value:.2f}".rstrip("0").rstrip(".")
