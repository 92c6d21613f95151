"""The verdict on a pre-training run: whether its encoder has learned anything, and by how much."""

import dataclasses
import math
from typing import NamedTuple

from mocotf.evaluation.measures import MEASURES
from mocotf.metrics import Metric
from mocotf.training.health import PATIENCE
from mocotf.training.health import signs

FEW_STEPS = 1000
REMEMBERED = 5  # times the 1 / (1 - m) steps that m averages over: the shortest run for it


class Measured(NamedTuple):
    """An accuracy in percent, and its standard error in points; 0 where that is not known."""

    value: float
    error: float = 0.0

    def tolerance(self, other):
        """Returns two standard errors of the difference to another; as if the two had asked different
        queries: they ask the same ones, so that the error is rather less."""
        return 2 * math.hypot(self.error, other.error)

    def above(self, other):
        """Returns whether it is higher than another by more than that."""
        return self.value - other.value > self.tolerance(other)


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """What a run measured of its encoder, and what that is to be held against.

    Attributes:
        metric: its `Metric`.
        pixels: `Measured` of raw pixels.
        untrained: likewise, of the encoder before the first step.
        end: of the encoder when it was measured last.
    """

    metric: Metric
    pixels: Measured
    untrained: Measured
    end: Measured

    @classmethod
    def of(cls, records):
        """Returns that of the records of metrics.jsonl; None where they have none to compare."""
        first = records[0] if records else {}
        for metric in MEASURES:
            last = last_with(metric.name, records)
            if metric.level and last and last["step"] > first["step"] and metric.level in first:
                named = (first, metric.level), (first, metric.name), (last, metric.name)
                return cls(metric, *(Measured(r[n], r.get(f"{n}_error", 0.0)) for r, n in named))
        return None


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What is to be thought of an encoder.

    Attributes:
        learned: whether it has learned anything; None where nothing tells.
        text: a sentence or two, for people.
    """

    learned: bool | None
    text: str


def judge(path, records, flags):
    """Returns the `Verdict` on a run; None before its first step.

    An encoder has learned something where its accuracy is above that of raw pixels and that of the
    untrained encoder, each by more than two standard errors; where it is above both, and not so far,
    that is open. Where no accuracy was measured it has learned nothing if its embeddings have
    collapsed, or its loss is that of chance.

    Args:
        path: of the run directory.
        records: of metrics.jsonl; not all need have loss or accuracy.
        flags: name → text, as flags.cfg has them.
    """
    last = last_with("loss", records)
    if not last:
        return None
    trouble = _trouble(records)
    advice = f"try {_advice(last, flags, trouble)}, in another --model_dir"
    if accuracy := Accuracy.of(records):
        return _by_accuracy(accuracy, trouble, advice, flags)
    if records[0].get("queries") == 0:
        same = "no two of the pictures that it was measured by look different; try other pictures"
        return Verdict(False, f"this encoder has learned nothing: {same}")
    if trouble:
        return Verdict(False, f"this encoder has learned nothing: {trouble}; {advice}")
    return Verdict(
        None,
        "nothing was measured that tells whether this encoder has learned anything; try "
        f"python -m mocotf.knn --model_dir={path} on pictures in classes, and again with --untrained, "
        "or --knn_every=1 in another --model_dir",
    )


def _by_accuracy(accuracy, trouble, advice, flags):
    start = "the encoder that it began with" if flags.get("init_from") else "the untrained encoder"
    end, levels = accuracy.end, {"raw pixels": accuracy.pixels, start: accuracy.untrained}
    name = accuracy.metric.title.removesuffix(", %")
    named = f"{name} ({accuracy.metric.meaning}) is {end.value:.1f} %"
    tolerance = max(end.tolerance(level) for level in levels.values())
    told = f"two standard errors: {tolerance:.1f}" if tolerance else "standard errors not known"

    yet, why = (f"; yet {trouble}", f"; {trouble}") if trouble else ("", "")
    if all(end.above(level) for level in levels.values()):
        above = ((end.value - level.value, what) for what, level in levels.items())
        how = ", ".join(f"{points:.1f} points above {what}" for points, what in above)
        return Verdict(True, f"this encoder has learned: {named}, {how} ({told}){yet}")
    values = ", ".join(f"{what} {level.value:.1f}" for what, level in levels.items())
    values = f"{named}, {values} ({told})"
    # Is there room above both?
    shows = all(Measured(100.0).above(level) for level in levels.values())
    if not shows and not any(level.above(end) for level in levels.values()):
        why = "even 100 % could not be told from these"
        return Verdict(None, f"what this encoder has learned does not show: {values}; {why}")
    unsure = [what for what, level in levels.items() if not end.above(level)]
    if not trouble and all(end.value > level.value for level in levels.values()):
        doubt = f"this encoder may be no better than {' and '.join(unsure)}"
        return Verdict(None, f"{doubt}: {values}; {advice}")
    return Verdict(False, f"this encoder has learned nothing that shows: {values}{why}; {advice}")


def _trouble(records):
    """Returns what is wrong with an encoder by the last of its records; "" where nothing shows."""
    last = last_with("loss", records)
    recent = [r for r in records if "loss" in r and r["step"] > last["step"] - PATIENCE]
    return next(iter(signs(recent).values()), "")


def _advice(record, flags, trouble):
    """Returns the flags to try where nothing was learned, with values."""
    step, m, lr = record["step"], float(flags.get("moco_m", 0)), float(flags.get("lr", 0))
    tries = []
    if flags.get("mechanism", "moco") == "moco" and 1 - m < min(0.01, REMEMBERED / step):
        tries.append("--moco_m=0.99")
    if step < FEW_STEPS:
        tries.append(f"--steps={max(FEW_STEPS, 2 * step)}")
    if trouble:
        tries.append(f"--lr={lr / 4:g}")
    return " and ".join(tries) or f"--lr={lr / 4:g}, or --steps={2 * step}"


def last_with(name, records):
    """Returns the last record that has a number of a name; None where none has it."""
    return next((r for r in reversed(records) if r.get(name) is not None), None)
