"""What a run has written of itself, for a report."""

import dataclasses
import math
import os

from mocotf.errors import UserError
from mocotf.evaluation.evaluation_json import STEP
from mocotf.evaluation.verdict import Accuracy
from mocotf.evaluation.verdict import Verdict
from mocotf.evaluation.verdict import judge
from mocotf.json_files import read_json
from mocotf.training.flags_file import FLAGS_FILE
from mocotf.training.flags_file import is_run
from mocotf.training.flags_file import read_flags
from mocotf.training.history import read_history
from mocotf.training.metrics_file import read_metrics


@dataclasses.dataclass(frozen=True)
class Stage:
    """A number that a run may have, and what it is to be compared with.

    Attributes:
        title: for people.
        name: in results.json or evaluation.json.
        beside: the numbers to compare with, name → what that is.
    """

    title: str
    name: str
    beside: dict[str, str]


SCRATCH = "from scratch"


def _measured(name, start="untrained"):
    """Returns what a number of an encoder is compared with: the same of the one it began with."""
    return {f"{name}_untrained": start}


def _watched(name):
    """Returns the like of a number that pre-training measures, of raw pixels too."""
    return {f"{name}_pixels": "raw pixels", **_measured(name)}


STAGES = (
    Stage("Pre-training loss", "loss", {"chance": "chance"}),
    Stage("kNN", "knn_top1", _watched("knn_top1")),
    Stage("Retrieval AUC", "retrieval_auc", _watched("retrieval_auc")),
    Stage("Linear, cached features", "linear_cached_top1", _measured("linear_cached_top1")),
    Stage("Linear", "linear_top1", _measured("linear_top1")),
    Stage("Fine-tuned", "finetune_top1", _measured("finetune_top1", SCRATCH)),
    Stage("Detection, AP", "detect_ap", _measured("detect_ap", SCRATCH)),
    Stage("Segmentation, mIoU", "segment_miou", _measured("segment_miou", SCRATCH)),
)


@dataclasses.dataclass(frozen=True)
class Run:
    """A run directory as it was when it was read; `read_runs` makes it.

    Attributes:
        path: of the run directory.
        name: tells it from the other runs.
        flags: name → text, as flags.cfg has them.
        metrics: the records of metrics.jsonl.
        numbers: name → finite number, of the last record, results.json and evaluation.json, the later
            ones in force.
        verdict: the `Verdict` on a pre-training run that has taken a step; else None.
        history: how it was changed, see `read_history`.
    """

    path: str
    name: str
    flags: dict[str, str]
    metrics: list[dict]
    numbers: dict[str, float]
    verdict: Verdict | None
    history: tuple[dict, ...] = ()

    @property
    def step(self):
        """The last one on record; 0 without any."""
        return self.metrics[-1]["step"] if self.metrics else 0

    def curve(self, name):
        """Returns (steps, values) of all records that have a finite number of this name."""
        points = [(r["step"], r[name]) for r in self.metrics if _is_number(r.get(name))]
        return tuple(zip(*points, strict=True)) or ((), ())


def read_runs(paths):
    """Returns the `Run`s at paths, each once.

    Raises:
        UserError: one is no run.
    """
    paths = list(dict.fromkeys(os.path.normpath(path) for path in paths))
    for path in paths:
        if not is_run(path):
            raise UserError(f"{path}: no {FLAGS_FILE}; expected the --model_dir of a run")
    return [_read(path, name) for path, name in zip(paths, _short(paths), strict=True)]


def differing_flags(runs):
    """Returns name → texts, one a run, of the flags that are not the same in all; None where unset."""
    names = sorted({name for run in runs for name in run.flags})
    texts = {name: [run.flags.get(name) for run in runs] for name in names}
    return {name: values for name, values in texts.items() if len(set(values)) > 1}


def _read(path, name):
    metrics = read_metrics(os.path.join(path, "metrics.jsonl"))
    config = os.path.join(path, FLAGS_FILE)
    flags, history = read_flags(config), tuple(read_history(config))
    numbers = {}
    if accuracy := Accuracy.of(metrics):
        numbers[f"{accuracy.metric.name}_pixels"] = accuracy.pixels.value
        numbers[f"{accuracy.metric.name}_untrained"] = accuracy.untrained.value
    steps = {}  # of the last record that has a number
    for record in metrics:  # kNN is in some records only
        numbers |= record if record["step"] else {}
        steps |= dict.fromkeys(record, record["step"])
    for file in ("results.json", "evaluation.json"):
        found = read_json(os.path.join(path, file))
        for key, value in found.items():
            of = found.get(f"{key}{STEP}", found.get("steps"))  # none where an earlier release wrote it
            if not key.endswith(STEP) and (of is None or of >= steps.get(key, 0)):
                numbers[key] = value
    numbers = {key: value for key, value in numbers.items() if _is_number(value)}
    verdict = judge(path, metrics, flags) if "moco_dim" in flags else None
    return Run(path, name, flags, metrics, numbers, verdict, history)


def _is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _short(paths):
    """Returns the end of each path that no other path has, in as few folders as do."""
    for folders in range(1, 64):
        names = ["/".join(os.path.abspath(path).split(os.sep)[-folders:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return paths
