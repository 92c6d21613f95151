"""Where a run's numbers go: metrics.jsonl, TensorBoard, a tracker, and a line on the terminal."""

import glob
import os
import time

import tensorflow as tf
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from mocotf.errors import UserError
from mocotf.files import append
from mocotf.files import cannot_write
from mocotf.files import open_to_append
from mocotf.phases import duration
from mocotf.training import pictures
from mocotf.training.hparams import describe_end
from mocotf.training.hparams import describe_run
from mocotf.training.metrics_file import line_of
from mocotf.training.metrics_file import stamped
from mocotf.training.tracker import Tracker

LINE = ("epoch", "step", "loss", "reported", "lr", "speed", "wait", "left", "measured")
BESIDE_BAR = ("epoch", "step", "loss", "reported", "speed", "measured")
BAR = ("loss", "epoch", "reported", "speed", "chance")


class Records:
    """Appends records to metrics.jsonl, and shows the same numbers in TensorBoard.

    metrics.jsonl is the truth: TensorBoard's files are written anew from it when a run is resumed, so
    that neither has a step twice. References are a TensorBoard run of their own with the tags of what
    they are for, which draws them as lines in the same charts.

    Args:
        run_dir: a `RunDir`, its metrics already cut to what the run has reached.
        metrics: `Metric`s of what records may have.
        hparams: name → text of the flags that TensorBoard's table of runs shows.
        accuracy: name of the metric that it shows beside the loss.
        tracker: a `Tracker`, open, which is told the same numbers; None for none.

    Attributes:
        highest: name of a metric that is measured → its highest value on record, once training has
            begun.
    """

    def __init__(self, run_dir, metrics, hparams=None, accuracy="knn_top1", tracker=None):
        references = run_dir.file("reference")
        for folder in (run_dir.path, references):
            for old in glob.glob(os.path.join(glob.escape(folder), "events.*")):
                os.remove(old)
        self._run_dir = run_dir
        self._metrics = metrics
        self._tags = {m.name: m.tag for m in metrics if m.tag}
        # Levels are lines in the charts of what is compared with them.
        self._levels = {m.level: m.tag for m in metrics if m.level}
        self._events = EventFileWriter(run_dir.path)
        self._references = EventFileWriter(references)
        self._tracker = tracker or Tracker()
        self._measured_once = {m.level: None for m in metrics if m.level and m.measured}
        self.highest = {}
        records = run_dir.metrics()
        began = {"step": 0, "time": records[0]["time"] if records else time.time()}
        shown = {name: self._tags[name] for name in (accuracy, "loss")}
        self._add(self._events, began, describe_run(hparams or {}, shown, began["time"]))
        for record in records:
            self._show(record)
        self._lines = open_to_append(run_dir.file("metrics.jsonl"))

    def write(self, record):
        """Writes one record, a dictionary with `step`; its wall-clock `time` is added.

        Raises:
            UserError: it cannot be written, as where the disk is full.
        """
        record = stamped(record)
        try:
            append(self._lines, line_of(record))
            self._show(record)
        except UserError as error:
            raise UserError(
                f"{error}; the run stops after step {record['step']}, to be resumed from "
                "its last checkpoint"
            ) from error

    def progress_line(self, record, course, seconds_left, live=False):
        """Returns the line a user watches; without a number of seconds left where that is None.

        Args:
            live: whether it stays above a live line: then it is shorter.
        """
        texts = self._texts(record, course)
        if texts["chance"]:
            texts["loss"] += f" ({texts['chance']})"
        texts["left"] = "" if seconds_left is None else f"ETA {duration(seconds_left)}"
        return "  ".join(filter(None, (texts[name] for name in (BESIDE_BAR if live else LINE))))

    def beside_bar(self, record, course):
        """Returns the parts of that line that are not the bar itself, the most important first."""
        texts = self._texts(record, course)
        return [texts[name] for name in BAR if texts[name]]

    def _texts(self, record, course):
        epochs = -(-course.total_steps // course.steps_per_epoch)
        epoch = (record["step"] - 1) // course.steps_per_epoch + 1
        named = [m for m in self._metrics if m.short and record.get(m.name) is not None]
        reported, measured = (
            [f"{m.short} {record[m.name]:.1f}" for m in named if m.measured == held_out]
            for held_out in (False, True)
        )
        return {
            "epoch": f"epoch {epoch}/{epochs}",
            "step": f"step {record['step']}/{course.total_steps}",
            "loss": f"loss {record['loss']:.3f}",
            "chance": f"chance {record['chance']:.3f}" if "chance" in record else "",
            "reported": "  ".join(reported),
            "lr": f"lr {record['lr']:.4g}",
            "speed": f"{record['images_per_second']:.4g} images/s",
            "wait": f"data wait {record['data_wait']:.0%}",
            "measured": "  ".join(measured),
        }

    def finish(self):
        """Notes in TensorBoard's table of runs that this one has reached its end."""
        now = time.time()
        self._add(self._events, {"step": 0, "time": now}, describe_end(now))

    def bring_to_disk(self):
        """Makes sure of the lines so far: of what comes before a checkpoint none is written again."""
        os.fsync(self._lines.fileno())

    def close(self):
        """Completes the files."""
        for file in (self._lines, self._events, self._references):
            file.close()

    def _show(self, record):
        if "retry" in record:  # a note; what there is to see of its step is in the step's record
            return
        for metric in self._metrics if record["step"] > 0 else ():
            if metric.measured and (value := record.get(metric.name)) is not None:
                self.highest[metric.name] = max(value, self.highest.get(metric.name, 0.0))
        seen = pictures.summaries(self._run_dir, record["step"])
        numbers = tagged(record, self._tags)
        levels = tagged(self._with_levels(record), self._levels)
        self._add(self._events, record, [*scalars(numbers), *seen])
        self._add(self._references, record, scalars(levels))
        references = {f"reference/{tag}": number for tag, number in levels.items()}
        told = {"epoch": record.get("epoch", 0)} | numbers | references
        self._tracker.log(record["step"], record["time"], told)

    def _with_levels(self, record):
        """Returns a record with the levels that were measured once: they are lines all the same."""
        known = self._measured_once
        known |= {name: record[name] for name in known if name in record}
        measured = [m for m in self._metrics if m.level in known and record.get(m.name) is not None]
        return record | {m.level: known[m.level] for m in measured}

    def _add(self, writer, record, values):
        event = Event(wall_time=record["time"], step=record["step"], summary=Summary(value=values))
        try:
            writer.add_event(event)
            writer.flush()
        except (OSError, tf.errors.OpError) as error:
            raise cannot_write(self._run_dir.path, error) from error


def tagged(record, tags):
    """Returns tag → number of what a record has of name → tag."""
    return {tag: record[name] for name, tag in tags.items() if record.get(name) is not None}


def scalars(numbers):
    """Returns what TensorBoard is told of tag → number, `Summary.Value`s."""
    return [Summary.Value(tag=tag, simple_value=number) for tag, number in numbers.items()]
