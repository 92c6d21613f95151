"""Claims of papers, held against runs: that a row of a grid is above another, and what the runs say.

Three seeds of a row know little of its spread, so standard errors are by that of all rows together, but
for rows that learn nothing: those have their own.
"""

import math
import statistics
from typing import NamedTuple

from tools.ablations.outcomes import values_of

ABOVE, NOT_BELOW, EQUAL = "above", "not below", "as good"
ENOUGH = 2  # standard errors
POWER = 2.8  # of them, that a difference has to have to be told from none in four grids of five
MARGIN = 2.0  # points: what is surely nearer is as good
AGREES, OPPOSITE, OPEN, MISSING = "agrees", "opposite", "not told apart", "not run"


class Claim(NamedTuple):
    """That one row is above another, not below it, or as good.

    Attributes:
        text: for people.
        row, other: names of rows of one group.
        sign: of what the first has more than the second: `ABOVE`, `NOT_BELOW` or `EQUAL`.
        published: the papers' numbers, or words.
        metric: that is compared.
    """

    text: str
    row: str
    other: str
    sign: str
    published: str
    metric: str = "knn_top1"


class Finding(NamedTuple):
    """What runs say to a claim.

    Attributes:
        verdict: `AGREES`, `OPPOSITE`, `OPEN` or `MISSING`.
        difference: of the means, points; None where a row has no run that is done.
        error: its standard error; None where no row has two seeds.
        times: how many times the seeds would tell, where it is open; None where that is not known.
    """

    verdict: str
    difference: float | None = None
    error: float | None = None
    times: float | None = None


def find(claim, rows, runs):
    """Returns the `Finding` on a `Claim`.

    Args:
        rows, runs: as `outcomes.collect` makes them.
    """
    values = {row["name"]: values_of(row, runs, claim.metric) for row in rows}
    ours, others = values[claim.row], values[claim.other]
    if not ours or not others:
        return Finding(MISSING)
    difference = statistics.fmean(ours) - statistics.fmean(others)
    learns = {row["name"]: _learns(row, runs) for row in rows}
    pooled = pooled_deviation(own for name, own in values.items() if learns[name])
    first, second = (
        pooled if learns[name] or len(values[name]) < 2 else statistics.stdev(values[name])
        for name in (claim.row, claim.other)
    )
    if first is None or second is None:
        return Finding(OPEN, difference)
    error = math.hypot(first / math.sqrt(len(ours)), second / math.sqrt(len(others)))
    least, most = difference - ENOUGH * error, difference + ENOUGH * error
    verdict = {
        ABOVE: AGREES if least > 0 else OPPOSITE if most < 0 else OPEN,
        NOT_BELOW: OPPOSITE if most < 0 else AGREES if least > -MARGIN else OPEN,
        EQUAL: AGREES if least > -MARGIN and most < MARGIN else OPEN if least < 0 < most else OPPOSITE,
    }[claim.sign]
    if verdict != OPEN:
        return Finding(verdict, difference, error)
    # To be told from 0; or, where it is to be as good, to be surely nearer than the margin.
    near = difference if claim.sign == NOT_BELOW else -abs(difference)
    size = abs(difference) if claim.sign == ABOVE else MARGIN + near
    times = (POWER * error / size) ** 2 if size > 0 else None
    return Finding(verdict, difference, error, times and max(1.0, times))


def _learns(row, runs):
    """Returns whether a row is above raw pixels: the seeds of what learns nothing differ by more."""
    knn, pixels = (values_of(row, runs, name) for name in ("knn_top1", "knn_top1_pixels"))
    return not pixels or statistics.fmean(knn) > statistics.fmean(pixels)


def pooled_deviation(samples):
    """Returns the standard deviation within samples of numbers; None where none has two."""
    samples = [sample for sample in samples if len(sample) > 1]
    freedom = sum(len(sample) - 1 for sample in samples)
    if not freedom:
        return None
    return math.sqrt(sum(statistics.variance(s) * (len(s) - 1) for s in samples) / freedom)


def table(claims, rows, runs):
    """Returns the Markdown table of claims, what was published, and what was found."""
    lines = ["| claim | of | published | here | |", "|---|---|---|---|---|"]
    for claim in claims:
        found = find(claim, rows, runs)
        of = "acc1" if claim.metric == "acc1" else "kNN"
        cells = [claim.text, of, claim.published, _difference(found), _verdict(found)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _difference(found):
    if found.difference is None:
        return "–"
    return f"{found.difference:+.1f}" + ("" if found.error is None else f" ± {found.error:.1f}")


def _verdict(found):
    if found.verdict != OPEN or not found.times:
        return found.verdict
    times = f"{found.times:.1f}" if found.times < 10 else f"{found.times:.0f}"
    return f"{found.verdict}; about {times} times the seeds would tell"
