"""What differs between two runs of the same flags, of which one may have been killed and resumed."""

import os

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mocotf.training.checkpoints import path_of
from mocotf.training.checkpoints import read
from mocotf.training.metrics_file import read_metrics

TIMES = {"time", "images_per_second", "data_wait", "goodput", "spent"}


def compare(whole, killed, steps):
    """Returns descriptions of what differs between two runs' folders; none where they are equal.

    A difference is a variable of the checkpoint of step `steps` that is not the same bit for bit, a
    record that differs in more than its times, or a step that TensorBoard shows twice or not.
    """
    found = [f"variable {name}" for name in variables_that_differ(whole, killed, steps)[1]]
    a, b = (records(folder) for folder in (whole, killed))
    found += [f"records {x} and {y}" for x, y in zip(a, b, strict=False) if x != y]
    if len(a) != len(b):
        found.append(f"{len(a)} and {len(b)} records")
    for folder in (whole, killed):
        shown = scalars(folder)
        logged = [
            (record["step"], np.float32(record["loss"]))
            for record in records(folder)
            if "loss" in record
        ]
        if shown != logged:
            found.append(f"TensorBoard of {os.path.basename(folder)}: {shown} for {logged}")
    return found


def variables_that_differ(one, other, steps):
    """Returns how many variables the checkpoints of a step of two runs have, and the names of those
    that are not the same bit for bit."""
    a, b = (read(path_of(os.path.join(folder, "checkpoints"), steps)) for folder in (one, other))
    names = sorted(a.keys() | b.keys())
    return len(names), [
        name
        for name in names
        if name not in a or name not in b or a[name].tobytes() != b[name].tobytes()
    ]


def compare_batches(whole, changed, steps):
    """Returns descriptions of the batches that two runs, whose files `noted_train` wrote, have learned
    otherwise from; none where order and draws were equal throughout."""
    a, b = noted(whole), noted(changed)
    return [
        f"batch {number}: {sorted(a.get(number, ()))} and {sorted(b.get(number, ()))}"
        for number in range(steps)
        if a.get(number) != b.get(number) or len(a.get(number, ())) != 1
    ]


def noted(path):
    """Returns number of a batch → its checksums, more than one where it was not always the same."""
    found = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            number, checksum = line.split()
            found.setdefault(int(number), set()).add(checksum)
    return found


def loss_after(folder, step, since):
    """Returns the loss of the step after `step` that a run has recorded since a time; None where it has
    not."""
    of_step = [r for r in _read(folder) if r["step"] == step + 1 and r["time"] >= since]
    return of_step[0]["loss"] if of_step else None


def records(folder):
    """Returns the records of a run without what is measured by the clock."""
    return [{k: value for k, value in record.items() if k not in TIMES} for record in _read(folder)]


def _read(folder):
    return read_metrics(os.path.join(folder, "metrics.jsonl"), whole=True)


def scalars(folder):
    """Returns (step, loss) of all that TensorBoard shows of a run."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return [(event.step, np.float32(event.value)) for event in events.Scalars("pretext/loss")]
