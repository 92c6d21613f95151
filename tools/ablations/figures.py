"""The figures of ablations: SVG files that need nothing beside themselves, on white."""

import statistics
from xml.etree import ElementTree

from mocotf.reporting.charts import COLOURS
from mocotf.reporting.charts import HEIGHT
from mocotf.reporting.charts import WIDTH
from mocotf.reporting.charts import Series
from mocotf.reporting.charts import line_chart
from mocotf.reporting.elements import element
from tools.ablations.outcomes import spread
from tools.ablations.outcomes import values_of

STYLE = (
    "text { font: 11px system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif; fill: #4a5563; } "
    ".title { font-size: 13px; font-weight: 600; fill: #1c2430; } .legend { fill: #1c2430; } "
    ".level { paint-order: stroke; stroke: #fff; stroke-width: 3px; }"
)
BINS = 25  # points of a curve of acc1, each the mean of the records in its share of the run
LETTER, LINE = 6.6, 17  # width of a letter of the legend, about, and height of its lines; pixels


def figures_of(group, runs):
    """Returns name → text of the SVG files of a group, and what each shows: {name: (svg, text)}.

    Args:
        group, runs: as `outcomes.collect` makes them.
    """
    if group["figures"] == "x":
        drawn = {"": ("kNN top-1, %", accuracy_against_x(group, runs))}
    elif group["figures"] == "steps":
        drawn = {
            "_acc1": ("pretext accuracy acc1, %", curves(group, runs, "acc1", BINS)),
            "_knn": ("kNN top-1, %", curves(group, runs, "knn_top1")),
        }
    else:
        return {}
    against, log2 = (group["x_name"], True) if group["figures"] == "x" else ("step", False)
    found = {}
    for suffix, (what, series) in drawn.items():
        if series:
            title = f"{what}, against {against}"
            options = {"percent": True, "x_name": against, "log2": log2}
            chart = line_chart(title, "", series, **options)
            found[f"ablations_{group['name']}{suffix}.svg"] = svg_file(title, chart, series), title
    return found


def accuracy_against_x(group, runs):
    """Returns the `Series` of a group's curves: means of kNN, bars of one standard deviation."""
    points = {}
    for row in group["rows"]:
        values = values_of(row, runs, "knn_top1")
        if row["curve"] and values:
            mean, deviation = spread(values)
            points.setdefault(row["curve"], []).append((row["x"], mean, deviation or 0))
    return [
        Series(name, COLOURS[i % len(COLOURS)], *zip(*sorted(found), strict=True))
        for i, (name, found) in enumerate(points.items())
    ]


def curves(group, runs, name, bins=None):
    """Returns a `Series` over steps for each row, the mean over its seeds.

    Rows of one `Row.curve` have one colour, those after the first dashed.

    Args:
        name: of the number.
        bins: average over so many shares of the run; None: not.
    """
    found, colours = [], {}
    for row in group["rows"]:
        own = [c[name] for c in values_of(row, runs, "curves") if c[name][0]]
        if not own:
            continue
        dashed = row["curve"] in colours
        colour = colours.setdefault(row["curve"], COLOURS[len(colours) % len(COLOURS)])
        steps = own[0][0]
        values = [statistics.fmean(column) for column in zip(*(ys for _, ys in own), strict=True)]
        if bins:
            steps, values = _binned(steps, bins), _binned(values, bins)
        found.append(Series(row["name"], colour, steps, values, dashed=dashed))
    return found


def svg_file(title, chart, series):
    """Returns the text of an SVG file.

    Args:
        chart: the figure that `line_chart` makes of `series`.
    """
    keys, height = _legend(series)
    top = 24 + height
    size = {"viewBox": f"0 0 {WIDTH} {HEIGHT + top}", "width": WIDTH, "height": HEIGHT + top}
    drawing = element(
        "svg",
        element("title", title),
        element("style", STYLE),
        element("rect", width="100%", height="100%", fill="#ffffff"),
        element("text", title, x=12, y=18, class_="title"),
        *keys,
        element("g", *chart.find("svg"), transform=f"translate(0 {top})"),
        xmlns="http://www.w3.org/2000/svg",
        **size,
    )
    return ElementTree.tostring(drawing, encoding="unicode") + "\n"


def _legend(series):
    """Returns the elements of the names of curves beside their lines, and how high they are."""
    needed = 36 + LETTER * max(len(one.name) for one in series)
    columns = min(3, max(1, int((WIDTH - 24) // needed)))
    column = (WIDTH - 24) / columns
    parts = []
    for i, one in enumerate(series):
        x, y = 12 + i % columns * column, 37 + i // columns * LINE
        line = {"stroke": one.colour, "stroke_width": 2.5}
        line["stroke_dasharray"] = "6 4" if one.dashed else None
        parts.append(element("line", x1=x, y1=y - 4, x2=x + 22, y2=y - 4, **line))
        parts.append(element("text", one.name, x=x + 28, y=y, class_="legend"))
    return parts, -(-len(series) // columns) * LINE + 4


def _binned(values, bins):
    """Returns the means of about so many equal parts of a list, in order."""
    size = -(-len(values) // bins)
    return [statistics.fmean(values[i : i + size]) for i in range(0, len(values), size)]
