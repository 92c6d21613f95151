"""Flags set in this process, and what commands leave in a run's folder."""

import numpy as np
from absl import flags

from mocotf.cli import command
from mocotf.json_files import read_json
from mocotf.training.checkpoints import path_of
from mocotf.training.checkpoints import read
from mocotf.training.checkpoints import steps_in
from mocotf.training.metrics_file import read_metrics
from tests import processes
from tests.tiny import ARCH
from tools.differences import TIMES

# The smallest run of `train`: on patches, kNN not measured; its queue wraps in the third step.
SMALL = [
    "--flagfile=flags/demo.cfg", f"--arch={ARCH}", "--width=0.125", "--image_size=16",
    "--batch_size=16", "--bn_splits=2", "--moco_k=40", "--knn_every=0", "--log_every=1",
    "--nofinal_files",
]  # fmt: skip
TWO_REPLICAS = ["--strategy=mirrored", "--num_logical_devices=2", "--bn_splits=1"]


def set_flags(*arguments, resumes=False):
    """Gives the flags the values in a command line, and their defaults where it has none."""
    flags.FLAGS.unparse_flags()
    for name in flags.FLAGS:
        flags.FLAGS[name].unparse()
    command.parse(["command", *arguments], resumes)


def train(folder, *options):
    """Has `mocotf.train` make a run of SMALL and further options in a folder; returns its `Result`."""
    return processes.succeed("train", *SMALL, *options, f"--model_dir={folder}")


def metrics(folder):
    """Returns the records of a run, a list of objects."""
    return read_metrics(folder / "metrics.jsonl", whole=True)


def comparable(records):
    """Returns records without what is measured by the clock."""
    return [{k: v for k, v in record.items() if k not in TIMES} for record in records]


def results(folder, name="results.json"):
    """Returns the content of a JSON file in a folder."""
    return read_json(folder / name)


def variables(folder, step=None):
    """Returns name → array of a run's checkpoint, the newest if no step is given."""
    checkpoints = str(folder / "checkpoints")
    return read(path_of(checkpoints, step or steps_in(checkpoints)[-1]))


def forget(folder, step):
    """Removes a run's checkpoint, as if killed before it was written; returns the run."""
    for path in folder.glob(f"checkpoints/ckpt-{step}.*"):
        path.unlink()
    return folder


def assert_same(a, b, **tolerance):
    """Checks two runs' variables against each other, bit for bit if no tolerance is given."""
    assert a.keys() == b.keys()
    for name, value in a.items():
        np.testing.assert_allclose(value, b[name], err_msg=name, **({"rtol": 0} | tolerance))
