"""Runs, and their page, of all tests of reports."""

import json
import types

import numpy as np
import pytest

from mocotf import report
from mocotf.training.pictures import keep_picture
from tests.commands import set_flags
from tests.data.support import write_colours
from tests.saved_run import write_run

LEARNED = "this encoder has learned: kNN top-1"
KNN = {"image_size": "32", "stem": "small", "knn_features": "pooled", "knn_k": "20", "knn_t": "0.07"}
CLASSES = ("cats & dogs", "<i>none<br>")
NASTY = "<script>alert(1)</script>&\"'"


def write_metrics(folder, seed):
    """Writes the records of a run, whose loss falls from chance."""
    rng = np.random.default_rng(seed)
    records = [{"step": 0, "epoch": 0, "knn_top1": 42.0, "knn_top1_pixels": 34.9, "time": 1.0}]
    for step in range(10, 401, 10):
        record = {"step": step, "epoch": step // 50, "loss": 6.9 - step / 300 + 0.1 * rng.random()}
        record |= {"chance": 6.9325, "acc1": 10 + step / 20, "lr": 0.1, "time": 1.0 + step}
        record |= {"images_per_second": 500.0, "embedding_std": 0.12, "uniform_std": 0.125}
        if step % 100 == 0:
            record["knn_top1"] = 50 + step / 20
        records.append(record)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    (folder / "results.json").write_text(json.dumps({"loss": 5.5, "chance": 6.93, "knn_top1": 70.0}))


def bare_run(folder, files=()):
    """Writes a run of which there are flags, and files, name → text; returns its path."""
    folder.mkdir(parents=True)
    for name, text in {"flags.cfg": "--lr=0.1\n", **dict(files)}.items():
        (folder / name).write_text(text)
    return str(folder)


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Returns the paths of two runs, the second with more numbers and another rate."""
    folder = tmp_path_factory.mktemp("runs")
    for seed, (name, rate) in enumerate((("first", "0.1"), ("second&<b>", "0.2"))):
        write_run(folder / name, lr=rate, init_from=NASTY if seed else "", **KNN)
        write_metrics(folder / name, seed)
    evaluation = {"linear_top1": 81.25, "linear_top1_untrained": 55.5, "finetune_top1": 90.04}
    (folder / "second&<b>" / "evaluation.json").write_text(json.dumps(evaluation))
    first = types.SimpleNamespace(file=lambda name: str(folder / "first" / name))
    keep_picture(first, "views", 0, np.full((400, 400, 3), 120, np.uint8))
    return [str(folder / name) for name in ("first", "second&<b>")]


def run_main(*arguments):
    """Runs the command in this process."""
    set_flags("--json", "--projection=pca", *arguments)
    report.main(*(argument for argument in arguments if not argument.startswith("--")))


@pytest.fixture(scope="session")
def written(runs, tmp_path_factory):
    """Returns the path of the page of both runs, with pictures of two classes."""
    folder = tmp_path_factory.mktemp("page")
    for name in CLASSES:
        write_colours(str(folder / "photos" / name), 30)
    out = folder / "report.html"
    run_main(f"--out={out}", "--dataset=folder", f"--data_dir={folder / 'photos'}", *runs)
    return out
