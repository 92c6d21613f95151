"""What is measured of a backbone, each number by the commands that a user has."""

import collections
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
import zipfile

from mocotf.errors import UserError
from mocotf.json_files import read_json
from mocotf.training.checkpoints import ENDINGS
from mocotf.training.checkpoints import path_of
from mocotf.training.checkpoints import read
from mocotf.training.metrics_file import read_metrics
from tools import differences
from tools.gpu import child

LIMIT = 1800  # seconds that a command may take
STEPS, HALF, BATCH = 6, 3, 16
RUN = [
    "--flagfile=flags/demo.cfg",
    "--moco_k=64",
    f"--batch_size={BATCH}",
    "--bn_splits=2",
    "--lr=0.01",
    "--knn_every=0",
    "--log_every=1",
    f"--steps={STEPS}",
    f"--checkpoint_every={HALF}",
    "--nofinal_files",
]
SIDE, TRAIN, TEST = 32, 200, 50  # pixels; pictures of a class
KNN_RUN = [
    "--flagfile=flags/cifar10.cfg",
    "--dataset=folder",
    "--nofinal_files",
    "--moco_k=512",
    "--batch_size=64",
    "--bn_splits=4",
    "--mlp",
    "--optimizer=adamw",
    "--lr=1e-3",
    "--weight_decay=0.05",
    "--epochs=5",
    "--knn_every=5",
    "--knn_k=20",
    "--knn_features=pooled",
    "--log_every=20",
]


def check(row):
    """Returns what is measured of a `Row` without pictures, name → value.

    Raises:
        UserError: a command failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        whole, resumed, files = (os.path.join(folder, name) for name in ("whole", "resumed", "files"))
        size = f"--image_size={row.size}"
        _run("train", *RUN, *row.flags, size, f"--model_dir={whole}")
        _go_back(whole, resumed)
        _run("train", f"--model_dir={resumed}")
        exported = _run("export", f"--model_dir={whole}", f"--export_dir={files}", "--json")
        return {
            "parameters": _parameters(read(_checkpoint(whole))),
            "step_seconds": _step_seconds(read_metrics(os.path.join(whole, "metrics.jsonl"))),
            "differs_after_resume": differences.compare(whole, resumed, STEPS),
            "exported_differs_by": max(exported["largest_difference"].values()),
        } | _keras_file(whole, os.path.join(folder, "encoder.keras"))


def _keras_file(run, path):
    """Returns by how much a run's .keras file differs, or why there is none."""
    try:
        converted = _run("convert", "--to=keras", run, path, "--json")
    except UserError as error:
        return {"keras_file_differs_by": None, "no_keras_file": str(error)}
    return {"keras_file_differs_by": converted["max_difference"]}


def knn(row, pictures):
    """Returns kNN top-1 before and after a short training on a folder of pictures, and of raw pixels.

    Raises:
        UserError: it failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        where = f"--data_dir={pictures}", f"--model_dir={folder}"
        begun = time.monotonic()
        _run("train", *KNN_RUN, *row.flags, *where)
        found = read_json(os.path.join(folder, "results.json"))
        return {
            "knn_before": found["knn_top1_untrained"],
            "knn_after": found["knn_top1"],
            "knn_pixels": found["knn_top1_pixels"],
            "knn_steps": found["steps"],
            "knn_seconds": round(time.monotonic() - begun),
        }


def unpack_some(archive, folder, seed=0):
    """Unpacks as many pictures of each class as are trained on and asked about, drawn by a seed."""
    with zipfile.ZipFile(archive) as opened:
        classes = collections.defaultdict(list)
        for name in sorted(opened.namelist()):
            classes[os.path.dirname(name)].append(name)
        chance = random.Random(seed)
        for path, names in classes.items():
            count = TRAIN if path.startswith("train") else TEST
            opened.extractall(folder, chance.sample(names, count))


def _run(name, *arguments):
    """Runs a command of mocotf on the CPU; returns what --json has it print, None without that.

    Raises:
        UserError: it failed.
    """
    command = [sys.executable, "-m", f"mocotf.{name}", *arguments]
    outcome = child.run(command, LIMIT, {"CUDA_VISIBLE_DEVICES": "-1"}, session=True)
    if outcome["code"] != 0:
        raise UserError(f"mocotf.{name}: {child.last_line(outcome)}")
    return child.last_json(outcome["out"])


def _checkpoint(run):
    return path_of(os.path.join(run, "checkpoints"), STEPS)


def _go_back(run, copy):
    """Copies a run as it was before its last checkpoint."""
    shutil.copytree(run, copy)
    for ending in ENDINGS:
        os.remove(_checkpoint(copy) + ending)


def _parameters(variables):
    """Returns how many numbers the backbone has, the moving statistics among them."""
    return sum(
        value.size
        for name, value in variables.items()
        if name.startswith("query_encoder/")
        and not name.startswith("query_encoder/head/")
        and "seed_generator" not in name
    )


def _step_seconds(records):
    """Returns the median of the steps after the first, which is traced."""
    return statistics.median(BATCH / r["images_per_second"] for r in records if r["step"] > 1)
