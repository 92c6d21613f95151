"""Where a run's numbers go: metrics.jsonl, TensorBoard, and a line on the terminal."""

import glob
import json
import os
import time

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from mocotf.errors import UserError
from mocotf.training import pictures
from mocotf.training.hparams import describe_end
from mocotf.training.hparams import describe_run

TAGS = {
    "loss": "pretext/loss",
    "acc1": "pretext/acc1",
    "acc5": "pretext/acc5",
    "positive_similarity": "pretext/positive_similarity",
    "negative_similarity": "pretext/negative_similarity",
    "proximal": "pretext/proximal",
    "lr": "schedule/lr",
    "m": "schedule/m",
    "embedding_std": "health/embedding_std",
    "queue_age": "health/queue_age",
    "gradient_norm": "health/gradient_norm",
    "weight_norm": "health/weight_norm",
    "images_per_second": "speed/images_per_second",
    "data_wait": "speed/data_wait",
    "knn_top1": "evaluation/knn_top1",
    "probe_loss": "probe/loss",
    "probe_acc1": "probe/acc1",
    "top1": "evaluation/top1",
    "box_loss": "transfer/box_loss",
    "class_loss": "transfer/class_loss",
    "ap": "evaluation/AP",
    "ap50": "evaluation/AP50",
    "ap75": "evaluation/AP75",
    "miou": "evaluation/mIoU",
    "pixel_accuracy": "evaluation/pixel_accuracy",
}
# As the line on the terminal names them.
ACCURACIES = {"knn_top1": "kNN", "top1": "top-1", "ap": "AP", "miou": "mIoU"}

# What curves are held against: lines in their charts.
REFERENCES = {
    "chance": TAGS["loss"],
    "uniform_std": TAGS["embedding_std"],
    "knn_top1_pixels": TAGS["knn_top1"],
}


class Records:
    """Appends records to metrics.jsonl, and shows the same numbers in TensorBoard.

    metrics.jsonl is the truth: TensorBoard's files are written anew from it when a run is resumed, so
    that neither has a step twice. References are a TensorBoard run of their own with the tags of what
    they are for, which draws them as lines in the same charts.

    Args:
        run_dir: a `RunDir`, its metrics already cut to what the run has reached.
        hparams: name → text of the flags that TensorBoard's table of runs shows.
        accuracy: name of the one that it shows, of `ACCURACIES`.

    Attributes:
        highest: name of an accuracy → its highest value on record, once training has begun.
    """

    def __init__(self, run_dir, hparams=None, accuracy="knn_top1"):
        references = run_dir.file("reference")
        for old in glob.glob(run_dir.file("events.*")) + glob.glob(f"{references}/events.*"):
            os.remove(old)
        self._run_dir = run_dir
        self._events = EventFileWriter(run_dir.path)
        self._references = EventFileWriter(references)
        self._pixels = None
        self.highest = {}
        metrics = run_dir.metrics()
        began = {"step": 0, "time": metrics[0]["time"] if metrics else time.time()}
        shown = {name: TAGS[name] for name in (accuracy, "loss")}
        self._add(self._events, began, describe_run(hparams or {}, shown, began["time"]))
        for record in metrics:
            self._show(record)
        self._lines = open(run_dir.file("metrics.jsonl"), "a", encoding="utf-8")  # noqa: SIM115

    def write(self, record):
        """Writes one record, a dictionary with `step`; its wall-clock `time` is added.

        Raises:
            UserError: it cannot be written, as where the disk is full.
        """
        record = record | {"time": round(time.time(), 3)}
        try:
            self._lines.write(json.dumps(record) + "\n")
            self._lines.flush()
            self._show(record)
        except OSError as error:
            raise UserError(
                f"{self._lines.name}: {error.strerror}; the run stops after step {record['step']}; "
                "make room, and the same command resumes it from its last checkpoint"
            ) from error

    def finish(self):
        """Notes in TensorBoard's table of runs that this one has reached its end."""
        now = time.time()
        self._add(self._events, {"step": 0, "time": now}, describe_end(now))

    def close(self):
        """Completes the files."""
        for file in (self._lines, self._events, self._references):
            file.close()

    def _show(self, record):
        for name in ACCURACIES.keys() & record.keys() if record["step"] > 0 else ():
            self.highest[name] = max(record[name], self.highest.get(name, 0.0))
        seen = pictures.summaries(self._run_dir, record["step"])
        self._add(self._events, record, [*scalars(record, TAGS), *seen])
        # Measured once, a line all the same.
        self._pixels = record.get("knn_top1_pixels", self._pixels)
        if record.get("knn_top1") is not None:
            record = record | {"knn_top1_pixels": self._pixels}
        self._add(self._references, record, scalars(record, REFERENCES))

    def _add(self, writer, record, values):
        event = Event(wall_time=record["time"], step=record["step"], summary=Summary(value=values))
        writer.add_event(event)
        writer.flush()


def scalars(record, tags):
    """Returns what TensorBoard is told of a record, `Summary.Value`s; `tags` is name → tag."""
    return [
        Summary.Value(tag=tag, simple_value=record[name])
        for name, tag in tags.items()
        if record.get(name) is not None
    ]


def progress_line(record, course, seconds_left):
    """Returns the line a user watches."""
    epochs = -(-course.total_steps // course.steps_per_epoch)
    chance = f" (chance {record['chance']:.3f})" if "chance" in record else ""
    epoch = (record["step"] - 1) // course.steps_per_epoch + 1
    parts = [
        f"epoch {epoch}/{epochs}",
        f"step {record['step']}/{course.total_steps}",
        f"loss {record['loss']:.3f}{chance}",
        *(f"{name} {record[name]:.1f}" for name in ("acc1", "acc5") if name in record),
        f"lr {record['lr']:.4g}",
        f"{record['images_per_second']:.4g} images/s",
        f"data wait {record['data_wait']:.0%}",
        f"ETA {duration(seconds_left)}",
    ]
    parts += [f"{title} {record[name]:.1f}" for name, title in ACCURACIES.items() if name in record]
    return "  ".join(parts)


def duration(seconds):
    """Returns "2d 03:04:05" for a number of seconds."""
    days, seconds = divmod(round(seconds), 86400)
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{days}d {clock}" if days else clock
