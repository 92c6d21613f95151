"""What the runs of a grid have found, as one JSON object."""

import os
import statistics
from typing import NamedTuple

from mocotf.errors import UserError
from mocotf.json_files import read_json
from mocotf.settings import settings_of
from mocotf.settings import texts_of
from mocotf.training.metrics_file import read_metrics

LAST = 0.8  # share of a run after which loss and acc1 are averaged: those of one batch are noise
CURVES = ("acc1", "knn_top1")


class Earlier(NamedTuple):
    """What earlier sittings of a grid have found.

    Attributes:
        sittings: how each was run: machine, versions, jobs and seconds.
        runs: name → numbers, of the runs that are done.
    """

    sittings: list
    runs: dict


def read_earlier(path, base, out):
    """Returns the `Earlier` of a results.json; an empty one without a path.

    Args:
        path: of the file, or None.
        base: `Settings` of the base recipe.
        out: folder of today's runs.

    Raises:
        UserError: it cannot be read, is no such file, is of another base recipe, or today's own.
    """
    if not path:
        return Earlier([], {})
    if os.path.realpath(path) == os.path.realpath(os.path.join(out, "results.json")):
        raise UserError(f"--earlier={path}: it is in --out, whose runs are known; leave it out")
    found = read_json(path)
    if not isinstance(found, dict) or not {"sittings", "base", "runs"} <= found.keys():
        raise UserError(f"--earlier={path}: expected results.json of tools/ablate.py")
    declared = {name: one for part in base for name, one in settings_of(type(part)).items()}
    for name, text in texts_of(base, decisive=True).items():
        there = declared[name].saved(found["base"].get(name))
        if there != text:
            raise UserError(
                f"--earlier={path}: of another base recipe: --{name}={there} there, {text} here"
            )
    done = {name: run for name, run in found["runs"].items() if run["state"] == "done"}
    return Earlier(found["sittings"], done)


def finished(run, out):
    """Returns whether a run has written its results."""
    return os.path.exists(os.path.join(out, run.name, "results.json"))


def collect(tables, out, failed, times, earlier):
    """Returns {"groups": what the tables are made of, "runs": name → numbers}.

    Args:
        tables: of `plan.expand`.
        out: folder of the runs.
        failed: names of the runs that failed.
        times: name → seconds, of the runs whose time is known.
        earlier: name → numbers, of runs that are done elsewhere.
    """
    groups, runs = [], {}
    for group, rows in tables:
        found = {name: getattr(group, name) for name in ("name", "title", "paper", "figures", "x_name")}
        found["claims"] = [claim._asdict() for claim in group.claims]
        found["rows"] = []
        for row, own in rows:
            shown = {name: getattr(row, name) for name in ("name", "flags", "published", "curve", "x")}
            found["rows"].append(shown | {"runs": [run.name for run in own]})
            for run in own:
                if run.name in earlier and not finished(run, out):
                    runs[run.name] = earlier[run.name]
                else:
                    runs[run.name] = _outcome(run, out, run.name in failed, times.get(run.name))
        groups.append(found)
    return {"groups": groups, "runs": runs}


def spread(values):
    """Returns mean and standard deviation of a sample; the latter is None for one value."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def values_of(row, runs, name):
    """Returns the numbers of that name of a row's runs that are done and have it."""
    found = (runs[run] for run in row["runs"])
    return [run[name] for run in found if run["state"] == "done" and run.get(name) is not None]


def _outcome(run, out, failed, seconds):
    known = {"seed": run.seed, "steps": run.steps, "batch_size": int(run.flags["batch_size"])}
    known["seconds"] = seconds and round(seconds, 1)
    if not finished(run, out):
        return known | {"state": "failed" if failed else "not run"}
    folder = os.path.join(out, run.name)
    known |= {"state": "done"} | read_json(os.path.join(folder, "results.json"))
    records = read_metrics(os.path.join(folder, "metrics.jsonl"))
    late = [record for record in records if record["step"] > LAST * run.steps]
    for name in ("loss", "acc1"):
        values = [record[name] for record in late if name in record]
        if values:
            known[name] = statistics.fmean(values)
    if run.watched:
        known["curves"] = {name: _curve(records, name) for name in CURVES}
    return known


def _curve(records, name):
    """Returns [steps, values] of the records that have a number of that name."""
    points = [(record["step"], record[name]) for record in records if name in record]
    return [list(column) for column in zip(*points, strict=True)] or [[], []]
