"""Starting points side by side, as the papers' tables have them."""

import math
import statistics


def summary(trials):
    """Returns name → (mean, standard deviation) over trials.

    Args:
        trials: a dictionary of name → number for each of them; the deviation of a single one is NaN.
    """
    found = {}
    for name in trials[0]:
        values = [trial[name] for trial in trials]
        deviation = statistics.stdev(values) if len(values) > 1 else math.nan
        found[name] = statistics.fmean(values), deviation
    return found


def table(columns, rows):
    """Returns the table of a comparison as Markdown, text.

    Args:
        columns: name of a number → its heading, in order.
        rows: name of a start → its trials, see `summary`, in order. Gains are over the first.
    """
    first, *others = ((name, summary(trials)) for name, trials in rows.items())
    lines = [_line(["start", *columns.values()]), _line(["---", *("---:" for _ in columns)])]
    lines.append(_line([first[0], *(_cell(*first[1][c]) for c in columns)]))
    for name, found in others:
        gains = {c: found[c][0] - first[1][c][0] for c in columns}
        lines.append(_line([name, *(f"{_cell(*found[c])} ({gains[c]:+.1f})" for c in columns)]))
    return "\n".join(lines) + "\n"


def _cell(mean, deviation):
    return f"{mean:.1f}" if math.isnan(deviation) else f"{mean:.1f} ± {deviation:.1f}"


def _line(cells):
    return "| " + " | ".join(cells) + " |"
