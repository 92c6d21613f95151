"""The program that holds runs against the authors' log of CIFAR-10."""

import json

import pytest

from mocotf.errors import UserError
from tools import cifar10_curve
from tools import markers

STEPS = 50_000 // 512


@pytest.fixture
def run(tmp_path):
    """Returns a function that writes a run's first two thirds of six epochs, and returns its path."""

    def write(name, loss, knn, log_every=1):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "flags.cfg").write_text(f"--batch_size=512\n--log_every={log_every}\n")
        records = [{"step": 0, "knn_top1": 20.0}]
        records += [{"step": step, "loss": loss} for step in range(1, 6 * STEPS - 30)]
        records[STEPS]["loss"] += STEPS * 0.1  # the last of the first epoch
        records[5 * STEPS]["knn_top1"] = knn
        lines = [json.dumps(record | {"time": 0}) + "\n" for record in records]
        (folder / "metrics.jsonl").write_text("".join(lines))
        return str(folder)

    return write


def test_epochs_that_are_whole_are_held_against_the_log(run, tmp_path):
    curves = {path: cifar10_curve.curve(path) for path in (run("a", 6.8, 39.0), run("b", 6.9, 41.0))}
    a, _ = curves.values()
    assert a["knn_top1"] == {5: 39.0}
    assert a["loss"] == pytest.approx({1: 6.9, 2: 6.8, 3: 6.8, 4: 6.8, 5: 6.8})
    peers = {path: cifar10_curve.curve(path) for path in (run("torch", 7.9, 99.0),)}
    lines = cifar10_curve.table(curves, peers).splitlines()
    assert lines[0] == "| epoch |  | published | a | b | torch | off by |  |"
    assert lines[2].startswith("| 1 | loss, mean of an epoch | 6.957 | 6.900 | 7.000 | 8.000 |")
    assert lines[2].endswith("| -0.1 % | agrees |")
    # A standard deviation of 1.41: twice that is above 2.5.
    assert lines[6].startswith("| 5 | kNN top-1, % | 37.95 | 39.00 | 41.00 | 99.00 |")
    assert lines[6].endswith("| +2.05 (at most 2.8) | agrees |")
    assert len(lines) == 8
    assert cifar10_curve.compare("knn_top1", 5, [41.0])[1] == "differs"
    assert cifar10_curve.compare("loss", 5, [6.5]) == ("-5.3 %", "differs")


def test_figures_tell_measured_from_published(run):
    svg = cifar10_curve.figure(
        "knn_top1", {run("seed0", 6.8, 39.0): {"knn_top1": {5: 39.0}, "loss": {}}}
    )
    assert "published: the authors" in svg and "measured: seed0" in svg


def test_what_is_no_such_run_is_told(run, tmp_path):
    with pytest.raises(UserError, match="b: no run; expected the folder of a run of flags/cifar10.cfg"):
        cifar10_curve.curve(str(tmp_path / "b"))
    with pytest.raises(UserError, match="has --log_every=50; expected a run of --log_every=1"):
        cifar10_curve.curve(run("a", 6.8, 39.0, log_every=50))
    with pytest.raises(UserError, match="no place for curve"):
        document = tmp_path / "a.md"
        document.write_text("")
        markers.check(str(document), cifar10_curve.PROGRAM, [cifar10_curve.BLOCK])
