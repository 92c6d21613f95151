"""The document of ablations: tables and figures between markers, in prose written by hand."""

import os

from mocotf.files import atomic_write
from tools import markers
from tools.ablations import claims
from tools.ablations.claims import Claim
from tools.ablations.figures import figures_of
from tools.ablations.outcomes import spread
from tools.ablations.outcomes import values_of

PROGRAM = "ablate"  # as the markers have it
SETUP = "setup"
NOTHING = "–"


def prepare(path, groups):
    """Checks that a document has a place for each group's table, or makes a new one that has.

    Args:
        path: of the document.
        groups: `Group`s.

    Raises:
        UserError: it lacks one.
    """
    names = [SETUP, *(group.name for group in groups)]
    if not os.path.exists(path):
        titles = ["# Ablations", *(f"## {group.title}" for group in groups)]
        places = (markers.place(PROGRAM, name) for name in names)
        parts = (f"{title}\n\n{place}\n" for title, place in zip(titles, places, strict=True))
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        atomic_write(path, "\n".join(parts))
    markers.check(path, PROGRAM, names)


def write(path, results):
    """Writes tables and figures into a document, and the figures' files beside it.

    Args:
        path: of the document; `prepare` has passed it.
        results: as tools/ablate.py collects them.
    """
    blocks = {SETUP: setup(results)}
    for group in results["groups"]:
        figures = figures_of(group, results["runs"])
        links = [f"![{title}](figures/{name})" for name, (_, title) in figures.items()]
        claimed = [Claim(**claim) for claim in group["claims"]]
        held = [claims.table(claimed, group["rows"], results["runs"])] if claimed else []
        blocks[group["name"]] = "\n\n".join([*held, table(group, results["runs"]), *links])
        for name, (svg, _) in figures.items():
            folder = os.path.join(os.path.dirname(path), "figures")
            os.makedirs(folder, exist_ok=True)
            atomic_write(os.path.join(folder, name), svg)
    markers.write(path, PROGRAM, blocks)


def setup(results):
    """Returns the sentences that say what the numbers are of."""
    runs = results["runs"].values()
    done = [run for run in runs if run["state"] == "done"]
    timed = [run["seconds"] for run in done if run["seconds"]]
    sittings = list(dict.fromkeys(map(_conditions, results["sittings"])))
    lasted = sum(sitting["seconds"] for sitting in results["sittings"])
    seeds = ", ".join(map(str, sorted({run["seed"] for run in runs})))
    untrained = [run["knn_top1_untrained"] for run in done if "knn_top1_untrained" in run]
    pixels = [run["knn_top1_pixels"] for run in done if "knn_top1_pixels" in run]
    text = (
        f"`--grid={results['grid']}`: {len(done)} of {len(runs)} runs, seeds {seeds}, "
        f"{'; '.join(sittings)}. {duration(lasted)} in {len(results['sittings'])} sitting"
        f"{'s' * (len(results['sittings']) > 1)}; the runs added up, {duration(sum(timed))}."
    )
    if untrained:
        text += (
            f" kNN top-1 of the untrained encoders {spread_text(untrained)}, of raw pixels "
            f"{spread_text(pixels)}."
        )
    return text


def table(group, runs):
    """Returns a group's table and what the papers say of it.

    Args:
        group, runs: as `outcomes.collect` makes them.
    """
    named = [name for row in group["rows"] for name in row["runs"]]
    published = any(row["published"] for row in group["rows"])
    head = ["", "kNN top-1, %", "acc1, %", "loss (chance)", "minutes", "seeds"]
    lines = [head + (["published, %"] if published else [])]
    for row in group["rows"]:
        cells = [row["name"], *_cells(row, runs)]
        lines.append(cells + ([row["published"] or NOTHING] if published else []))
    text = "".join(f"| {' | '.join(cells)} |\n" for cells in lines[:1])
    text += "|---" * len(lines[0]) + "|\n"
    text += "".join(f"| {' | '.join(cells)} |\n" for cells in lines[1:])
    steps = sorted({(runs[name]["batch_size"], runs[name]["steps"]) for name in named})
    lengths = ", ".join(f"{count:,} steps of {batch}" for batch, count in steps)
    return f"{text}\nRuns of {lengths} images. Published: {group['paper']}"


def spread_text(values):
    """Returns mean ± standard deviation as tables show them; – of no values."""
    if not values:
        return NOTHING
    mean, deviation = spread(values)
    return f"{mean:.1f}" if deviation is None else f"{mean:.1f} ± {deviation:.1f}"


def duration(seconds):
    """Returns a time as people say it: 45 s, 12 min, 3.4 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def _conditions(sitting):
    machine = sitting["machine"]
    names = ", ".join(f"{name} {version}" for name, version in sitting["versions"].items())
    return f"{sitting['jobs']} at a time, on {machine['cores']} cores ({machine['cpu']}), {names}"


def _cells(row, runs):
    states = [runs[name]["state"] for name in row["runs"]]
    done, failed = states.count("done"), states.count("failed")
    knn, acc1, losses, chances = (
        values_of(row, runs, name) for name in ("knn_top1", "acc1", "loss", "chance")
    )
    shown = "failed" if failed == len(states) else spread_text(knn)
    if 0 < failed < len(states):
        shown += f" ({failed} failed)"
    loss = f"{spread(losses)[0]:.2f}" if losses else NOTHING
    loss += f" ({chances[0]:.2f})" if chances else ""
    seconds = values_of(row, runs, "seconds")
    minutes = f"{spread(seconds)[0] / 60:.1f}" if seconds else NOTHING
    return [shown, spread_text(acc1), loss, minutes, str(done)]
