"""The results table over runs."""

from mocotf.reporting.runs import STAGES
from mocotf.reporting.runs import differing_flags

NOTHING = "–"
MOST_FLAGS = 60  # characters of a flag's text in a table
MOST_COLUMNS = 10  # of a line each run


def table(runs):
    """Returns one dictionary a run: run, step, the flags that differ, its numbers (None for none), and
    whether its encoder has learned anything.

    All have the same keys, in the order of the columns; what no run has is left out.
    """
    names = [name for stage in STAGES for name in (stage.name, *stage.beside)]
    names = [name for name in names if any(name in run.numbers for run in runs)]
    flags = differing_flags(runs)
    judged = any(run.verdict for run in runs)
    return [
        {"run": run.name, "step": run.step}
        | {f"--{name}": texts[i] for name, texts in flags.items()}
        | {name: run.numbers.get(name) for name in names}
        | ({"learned": run.verdict and run.verdict.learned} if judged else {})
        for i, run in enumerate(runs)
    ]


def markdown(rows):
    """Returns a Markdown table of dictionaries that have the same keys: one line a row; where that is
    wider than it is high, and has more than `MOST_COLUMNS`, one column a row."""
    cells = [list(rows[0]), *([text(row[name]) for name in row] for row in rows)]
    numeric = [all(isinstance(row[name], int | float | None) for row in rows) for name in rows[0]]
    if len(cells[0]) > max(MOST_COLUMNS, len(rows)):
        cells = [list(column) for column in zip(*cells, strict=True)]
        numeric = [False, *(True for _ in rows)]
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in cells]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]

    def line(row):
        aligned = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        )
        return f"| {' | '.join(aligned)} |\n"

    rule = ("-" * (width - right) + ":" * right for width, right in zip(widths, numeric, strict=True))
    return line(cells[0]) + f"| {' | '.join(rule)} |\n" + "".join(map(line, cells[1:]))


def verdicts(runs):
    """Returns a Markdown list of the verdicts on runs, "" without any."""
    return "".join(f"- {run.name}: {run.verdict.text}\n" for run in runs if run.verdict)


def text(value):
    """Returns how a table shows a value: a dash for None, two decimals or more for a fraction."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:.3g}"
    return value if isinstance(value, str) and len(value) <= MOST_FLAGS else str(value)[:MOST_FLAGS]
