"""The Markdown that tools/gpu_check.py makes of its results."""

import json

from mocotf.errors import UserError


def read(path):
    """Returns the results of a file, one JSON object a line, oldest first.

    Raises:
        UserError: there is no such file, or a line is no result.
    """
    try:
        with open(path, encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]
    except (OSError, json.JSONDecodeError) as error:
        raise UserError(f"{path}: {error}; expected what tools/gpu_check.py --out wrote") from error


def markdown(results):
    """Returns the tables of all results, each `{"part", "found", …}`; a part measured again follows."""
    return "\n".join(line for result in results for line in [*_section(result), ""])


def _section(result):
    found, title = result.get("found") or {}, f"**{result['part']}**"
    if result.get("cut_short"):
        title += f" (stopped after {result['seconds']:.0f} s; what was known by then)"
    show = SECTIONS.get(result["part"], _steps)
    lines = [title, "", *(show(found) if found else [])]
    if result.get("error"):
        lines.append(f"failed: {result['error']}")
    return lines


def rows(head, body):
    """Returns the lines of a table; `None` is an empty cell, numbers have three digits that count."""
    lines = [head, ["---"] * len(head), *body]
    return ["| " + " | ".join(map(cell, line)) + " |" for line in lines]


def cell(value):
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value).replace("|", "\\|").replace("\n", " ")


def _card(found):
    known = {f"card {i}": ", ".join(card.values()) for i, card in enumerate(found["cards"])}
    known |= {"cpu": "{cpu}, {cores} cores".format(**found["machine"])} | found["versions"]
    known |= {"built for CUDA, cuDNN": ", ".join(map(str, found["built_for"].values()))}
    known |= {"torch, its CUDA, cuDNN": found["torch"]}
    for dtype in ("bfloat16", "float32"):
        for name, value in found.get(f"limit_{dtype}", {}).items():
            known[f"{name}, {dtype}"] = value
    return rows(["", ""], known.items())


def _steps(found):
    settings = ", ".join(f"{name} {value}" for name, value in found["settings"].items())
    head = ["", "images/s", "min–max", "× torch", "× compiled", "peak GB", "first step, s", "loss"]
    body = [[name, *_side(side)] for name, side in found["sides"].items()]
    lines = [settings, "", *rows(head, body)]
    for name, side in found["sides"].items():
        if "error" in side:
            lines.append(f"{name}: {side['error']}")
        if "profile" in side:
            lines += ["", *_profile(name, side["profile"])]
    return lines


def _side(side):
    if "images_per_second" not in side:
        return [None, None, None, None, None, side.get("first_step_seconds"), None]
    spread = f"{cell(side['min'])}–{cell(side['max'])}"
    peak = side.get("device_peak_mb", side["peak_mb"]) / 1e3
    ratios = [side.get(f"x_{peer}") for peer in ("torch", "torch.compile")]
    speed = side["images_per_second"]
    return [speed, spread, *ratios, peak, side["first_step_seconds"], side["loss"]]


def _profile(name, profile):
    line = "{busy_ms:.1f} of {span_ms:.1f} ms busy, {launches:.0f} launches a step".format(**profile)
    pauses, idle_ms = profile["idle"]["over 0 us"]
    line += f"; {pauses:,.0f} pauses of {idle_ms:.1f} ms"
    for longest, *between in profile["idle"]["longest"][:1]:
        line += f", the longest {longest:.1f} ms, between {' and '.join(between)}"
    lines = [f"{name}: {line}", ""]
    operators, kernels = (list(profile[kind].items())[:15] for kind in ("operators", "kernels"))
    pairs = zip(operators, kernels, strict=False)
    return lines + rows(["operator", "ms", "kernel", "ms"], [[*a, b[0][:60], b[1]] for a, b in pairs])


def _options(found):
    body = [
        [
            name,
            run["passed"],
            run.get("seconds"),
            run.get("loss"),
            None if run["passed"] else run["said"],
        ]
        for name, run in found["options"].items()
    ]
    return rows(["option", "passed", "s", "loss", "said"], body)


def _deterministic(found):
    body = [
        [title, pair.get("differ"), pair.get("variables"), pair.get("seconds"), pair.get("said")]
        for title, pair in found["pairs"].items()
    ]
    return rows(["", "variables that differ", "of", "s", ""], body)


def _accuracy(found):
    names = ("y", "variance", "dx", "dgamma", "dbeta")
    body = []
    for way, dtypes in found["errors"].items():
        if "said" in dtypes:
            body.append([way, dtypes["said"]])
            continue
        for dtype, means in dtypes.items():
            body += [[way, dtype, mean, *(e[name] for name in names)] for mean, e in means.items()]
    return rows(["batch norm", "dtype", "mean", *names], body)


def _input(found):
    names = ("images_per_second", "data_wait", "longest_wait", "said")
    body = [[name, *(run.get(key) for key in names)] for name, run in found["input"].items()]
    return rows(["", "images/s", "data wait", "longest", ""], body)


def _cifar(found):
    if "epochs" not in found:
        return [found.get("said", "no epoch was finished")]
    body = []
    for epoch, one in found["epochs"].items():
        if one["authors"] or one["knn_top1"]:
            body.append([epoch, one["knn_top1"], one["loss"], *(one["authors"] or (None, None))])
    speed = "{images_per_second:.0f} images/s, data wait {data_wait:.1%}".format(**found)
    lines = [speed, "", *rows(["epoch", "kNN", "loss", "authors' kNN", "loss"], body)]
    return [*lines, found["said"]] if "said" in found else lines


SECTIONS = {
    "card": _card,
    "options": _options,
    "deterministic": _deterministic,
    "accuracy": _accuracy,
    "input": _input,
    "cifar": _cifar,
}
