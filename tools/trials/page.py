"""The tables of trials: what was chosen, what was learned, whether that is more than noise."""

import math

from tools.ablations.outcomes import spread
from tools.ablations.outcomes import values_of
from tools.ablations.page import NOTHING
from tools.ablations.page import spread_text

PROGRAM = "recipes"  # as the markers have it
SETUP, CHOICES, RESULTS = BLOCKS = ("setup", "choices", "results")
BASELINES = {"knn_top1_pixels": "pixels", "knn_top1_untrained": "untrained"}
COUNTS = ("pictures", "classes", "queries")
HEAD = (
    "collection",
    *COUNTS,
    "raw pixels",
    "untrained",
    "trained",
    "over pixels",
    "over untrained",
    "above both",
    "seeds",
)
ENOUGH = 2  # standard errors
CHOSEN = (
    "image_size",
    "arch",
    "width",
    "stem",
    "batch_size",
    "bn_splits",
    "lr",
    "moco_k",
    "moco_m",
    "crop_min",
    "epochs",
)


def blocks(results):
    """Returns name → Markdown of what tools/recipes.py writes into a document.

    Args:
        results: as it collects them.
    """
    return {
        SETUP: _setup(results),
        CHOICES: _choices(results),
        RESULTS: _results(results),
    }


def difference(row, runs, baseline):
    """Returns by how much kNN is above a baseline: the mean over seeds, and its standard error.

    The error is that of the mean of the seeds' own differences; None of fewer than two. None, None of
    no run.
    """
    found = [runs[name] for name in row["runs"]]
    own = [run["knn_top1"] - run[baseline] for run in found if run.get("knn_top1") is not None]
    if not own:
        return None, None
    mean, deviation = spread(own)
    return mean, None if deviation is None else deviation / math.sqrt(len(own))


def is_above(row, runs):
    """Returns whether kNN is above both baselines by more than `ENOUGH` standard errors, None where
    that cannot be said."""
    found = [difference(row, runs, baseline) for baseline in BASELINES]
    if any(error is None for _, error in found):
        return None
    return all(mean > ENOUGH * error for mean, error in found)


def line(row, runs):
    """Returns what was found of a row, as the terminal shows it."""
    cells = (f"{head} {cell}" for head, cell in zip(HEAD[4:], _found(row, runs), strict=True))
    return f"{' '.join(_names(row))}: {'; '.join(cells)}"


def _results(results):
    rows = []
    for row in results["rows"]:
        facts = results["collections"][row["collection"]]
        counts = [f"{facts[name]:,}" for name in COUNTS]
        rows.append([_title(row), *counts, *_found(row, results["runs"])])
    return _markdown(HEAD, rows)


def _found(row, runs):
    above = is_above(row, runs)
    return [
        *(spread_text(values_of(row, runs, name)) for name in (*BASELINES, "knn_top1")),
        *(_difference_text(*difference(row, runs, baseline)) for baseline in BASELINES),
        NOTHING if above is None else ("yes" if above else "no"),
        _seeds(row, runs),
    ]


def _seeds(row, runs):
    states = [runs[name]["state"] for name in row["runs"]]
    failed = states.count("failed")
    return str(states.count("done")) + (f" ({failed} failed)" if failed else "")


def _difference_text(mean, error):
    if mean is None:
        return NOTHING
    return f"{mean:+.1f}" if error is None else f"{mean:+.1f} (± {error:.1f})"


def _choices(results):
    rows = []
    for row in results["rows"]:
        flags = values_of(row, results["runs"], "flags")
        steps = _range(map(str, values_of(row, results["runs"], "steps")))
        rows.append([_title(row), *(_chosen(flags, name) for name in CHOSEN), steps])
    return _markdown(("collection", *(f"`{name}`" for name in CHOSEN), "steps"), rows)


def _chosen(flags, name):
    return _range(own[name] for own in flags if name in own)


def _range(texts):
    """Returns what seeds have in common: the one value, or the least and the greatest."""
    values = sorted(set(texts), key=_number)
    return NOTHING if not values else values[0] if len(values) == 1 else f"{values[0]} to {values[-1]}"


def _number(text):
    try:
        return float(text), text
    except ValueError:
        return math.inf, text


def _setup(results):
    machine, runs = results["machine"], results["runs"].values()
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    seeds = ", ".join(map(str, sorted({run["seed"] for run in runs})))
    jobs = results["jobs"]
    at_a_time = "one at a time," if jobs == 1 else f"{jobs} at a time, which share the cores out,"
    done = sum(run["state"] == "done" for run in runs)
    text = (
        f"{done} of {len(runs)} runs, seeds {seeds}, {at_a_time} "
        f"on {machine['cores']} cores ({machine['cpu']}), {versions}"
    )
    flags = " ".join(results["flags"])
    return text + (f"; flags of all: `{flags}`." if flags else ".")


def _names(row):
    minutes = [f"{row['minutes']} min"] if row["minutes"] else []
    return [row["collection"], *minutes, *filter(None, [row["variant"]])]


def _title(row):
    return ", ".join(_names(row))


def _markdown(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
