"""The verdict on a pre-training run: whether its encoder has learned anything, and by how much."""

import dataclasses
import math

from mocotf.evaluation.measures import MEASURES
from mocotf.metrics import Metric
from mocotf.training.warnings import AT_CHANCE

COLLAPSED = 0.05  # feature_std at the end; 1 is uniform on the sphere
FEW_STEPS = 1000
REMEMBERED = 5  # times the 1 / (1 - m) steps that m averages over: the shortest run for it


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """What a run measured of its encoder, and what that is to be held against, in percent.

    Attributes:
        metric: its `Metric`.
        pixels: of raw pixels.
        untrained: of the encoder before the first step.
        end: of the encoder when it was measured last.
        queries: how many were asked; None in runs of releases that did not record it.
    """

    metric: Metric
    pixels: float
    untrained: float
    end: float
    queries: int | None

    @classmethod
    def of(cls, records):
        """Returns that of the records of metrics.jsonl; None where they have none to compare."""
        first = records[0] if records else {}
        for metric in MEASURES:
            last = last_with(metric.name, records)
            if metric.level and last and last["step"] > first["step"] and metric.level in first:
                levels = first[metric.level], first[metric.name]
                return cls(metric, *levels, last[metric.name], first.get("queries"))
        return None

    def error(self, a, b):
        """Returns two standard errors of the difference of accuracies a and b, in points.

        As of independent samples of `queries`, each with a success and a failure added (Agresti and
        Caffo, 2000), without which 0 and 100 % would be certain. Both are of the same queries, so the
        error is rather less. 0 where their number is not known.
        """
        if not self.queries:
            return 0.0
        n = self.queries + 2
        shares = [(self.queries * x / 100 + 1) / n for x in (a, b)]
        return 200 * math.sqrt(sum(p * (1 - p) / n for p in shares)) * n / self.queries

    def above(self, a, b):
        """Returns whether accuracy a is higher than b by more than two standard errors."""
        return a - b > self.error(a, b)


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
    untrained encoder, each by more than two standard errors. Where no accuracy was measured it has
    learned nothing if its embeddings have collapsed, or its loss is that of chance.

    Args:
        path: of the run directory.
        records: of metrics.jsonl; not all need have loss or accuracy.
        flags: name → text, as flags.cfg has them.
    """
    last = last_with("loss", records)
    if not last:
        return None
    trouble, advice = _trouble(last), f"try {_advice(last, flags)}, in another --model_dir"
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
    levels = {"raw pixels": accuracy.pixels, start: accuracy.untrained}
    end, above = accuracy.end, accuracy.above
    named = f"{accuracy.metric.short} top-1 ({accuracy.metric.meaning})"
    error = max(accuracy.error(end, level) for level in levels.values())
    told = f"two standard errors: {error:.1f}" if error else "standard errors not known"

    if all(above(end, level) for level in levels.values()):
        how = ", ".join(f"{end - level:.1f} above {name}" for name, level in levels.items())
        return Verdict(True, f"this encoder has learned: {named} is {end:.1f} %, {how} ({told})")
    values = ", ".join(f"{name} {level:.1f}" for name, level in levels.items())
    values = f"{named} is {end:.1f} %, {values} ({told})"
    if not any(above(level, end) for level in levels.values()) and not all(
        above(100.0, level) for level in levels.values()
    ):
        why = f"even 100 % could not be told apart by {accuracy.queries} queries"
        return Verdict(None, f"what this encoder has learned does not show: {values}; {why}")
    reason = f"{values}; {trouble}" if trouble else values
    return Verdict(False, f"this encoder has learned nothing that shows: {reason}; {advice}")


def _trouble(record):
    """Returns what is wrong with an encoder by the record of its last step; "" where nothing shows."""
    if (spread := record.get("feature_std", 1.0)) < COLLAPSED:
        return f"its embeddings are nearly all the same (feature_std {spread:.2g}, healthy near 1)"
    loss, chance = record["loss"], record.get("chance")
    if chance and loss > AT_CHANCE * chance:
        return f"its loss, {loss:.3f}, is that of chance, {chance:.3f}"
    return ""


def _advice(record, flags):
    """Returns the flags to try where nothing was learned, with values."""
    step, m, lr = record["step"], float(flags.get("moco_m", 0)), float(flags.get("lr", 0))
    tries = []
    if flags.get("mechanism", "moco") == "moco" and 1 - m < min(0.01, REMEMBERED / step):
        tries.append("--moco_m=0.99")
    if step < FEW_STEPS:
        tries.append(f"--steps={max(FEW_STEPS, 2 * step)}")
    if _trouble(record):
        tries.append(f"--lr={lr / 4:g}")
    return " and ".join(tries) or f"--lr={lr / 4:g}, or --steps={2 * step}"


def last_with(name, records):
    """Returns the last record that has a number of a name; None where none has it."""
    return next((r for r in reversed(records) if r.get(name) is not None), None)
