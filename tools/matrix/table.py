"""Results as people read them: a line on the terminal, a table in Markdown."""

HEAD = (
    "backbone",
    "pixels",
    "parameters, M",
    "step, ms",
    "resumed, bit for bit",
    "SavedModel differs by",
    ".keras differs by",
    "kNN before → after, %",
)
NOTHING = "–"


def line(result):
    """Returns what was found of a backbone, as the terminal shows it."""
    return "; ".join(
        f"{head} {cell}" for head, cell in zip(HEAD[1:], _cells(result), strict=True) if cell != NOTHING
    )


def markdown(results, order):
    """Returns the table of name → result, in the order of the names."""
    rows = [HEAD, ["---"] * len(HEAD)]
    rows += [(name, *_cells(results[name])) for name in order if name in results]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cells(result):
    found = dict.fromkeys(HEAD[2:], NOTHING)
    if "parameters" in result:
        differing = len(result["differs_after_resume"])
        values = (
            f"{result['parameters'] / 1e6:.2f}",
            f"{1e3 * result['step_seconds']:.0f}",
            f"no: {differing} differences" if differing else "yes",
            _difference(result["exported_differs_by"]),
            _difference(result["keras_file_differs_by"]),
        )
        found |= dict(zip(HEAD[2:], values, strict=False))
    if "knn_after" in result:
        found[HEAD[-1]] = f"{result['knn_before']:.1f} → {result['knn_after']:.1f}"
    if "failed" in result:
        found[HEAD[2]] = f"failed: {result['failed']}"
    return [str(result["image_size"]), *found.values()]


def _difference(value):
    return NOTHING if value is None else f"{value:.0e}"
