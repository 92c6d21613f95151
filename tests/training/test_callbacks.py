"""What is done between the steps of a run."""

import signal
import time
from types import SimpleNamespace

import pytest

from mocotf.errors import Preempted
from mocotf.phases import Phase
from mocotf.training import callbacks
from mocotf.training.goodput import Account
from mocotf.training.progress import Course
from mocotf.training.progress import Every
from mocotf.training.progress import Progress
from mocotf.training.termination import Termination
from mocotf.training.trainer import Gauges
from mocotf.training.watchdog import Watchdog

BATCH = 8


class Pending:
    """A number that a device has not computed yet."""

    def __init__(self, seconds):
        self._seconds = seconds

    def __float__(self):
        time.sleep(self._seconds)
        return 1.0


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """Time passes where somebody sleeps, and a millisecond where it is looked at."""
    now = [1e9]

    def sleep(seconds):
        now[0] += seconds
        return now[0]

    for name in ("time", "monotonic", "perf_counter"):
        monkeypatch.setattr(time, name, lambda: sleep(1e-3))
    monkeypatch.setattr(time, "sleep", sleep)


@pytest.fixture
def written():
    return []


@pytest.fixture
def progress(written):
    course = Course(9, 9, BATCH, lambda step: 0.1, log=Every(1), save=Every(), keep=1, measure=Every())
    records = SimpleNamespace(
        write=written.append, progress_line=lambda *_: "", beside_bar=lambda *_: ()
    )
    checkpoints = SimpleNamespace(took=None)
    run = SimpleNamespace(course=course, health=None, workers=1, checkpoints=checkpoints)
    run.watchdog = Watchdog(None)
    progress = Progress(run, records, Termination(), Account({}), Phase("training", 9, "steps"))
    model = SimpleNamespace(step=0, steps_per_execution=1, gauges=Gauges(), watched=lambda *_: {})
    progress.set_model(model)
    progress.on_train_begin()
    return progress


def record(progress, logs):
    recorder = callbacks.RecordMetrics(progress, Every(1))
    recorder.set_model(progress.model)
    progress.on_train_batch_end(0)
    recorder.on_train_batch_end(0, logs)


def test_speed_counts_what_the_device_still_computes_when_a_record_is_written(progress, written):
    record(progress, {"loss": Pending(0.2)})
    assert BATCH / 2 < written[0]["images_per_second"] <= BATCH / 0.2
    assert progress.run.watchdog._heard.is_set()


def test_speed_counts_the_time_that_a_record_takes_and_not_what_is_untimed(progress, written):
    progress.records.progress_line = lambda *_: f"{time.sleep(0.2)}"
    record(progress, {"loss": 1.0})
    with progress.untimed("checkpoint"):
        time.sleep(1.5)
    record(progress, {"loss": 1.0})
    spent = written[1]["spent"]
    assert 0.2 <= spent["steps"] < 1.5 <= spent["checkpoint"]
    assert BATCH / 1.5 < written[1]["images_per_second"] <= BATCH / 0.2


def test_a_line_has_the_means_of_its_window_and_a_speed_without_compiling(progress, written):
    shown = []
    progress.records.progress_line = lambda record, course, left, live: (
        shown.append((record, left)) or ""
    )
    time.sleep(1.0)  # the first step, compiled
    for acc1 in (10.0, 20.0, 60.0):
        progress.on_train_batch_end(0, {"acc1": acc1, "lr": 1.0})
    recorder = callbacks.RecordMetrics(progress, Every(1))
    recorder.set_model(progress.model)
    recorder.act({"acc1": 60.0, "loss": 1.0})
    (record, left), *_ = shown
    assert record["acc1"] == 30 and written[0]["acc1"] == 60
    assert written[0]["images_per_second"] > 3 * BATCH and left < 1


def test_a_run_that_is_asked_to_end_and_cannot_save_says_so(progress):
    progress.run.checkpoints.wait = lambda: False  # has said why, see `Checkpoints`
    progress._termination.requested = signal.SIGTERM
    progress.on_train_batch_end(0)
    with pytest.raises(Preempted, match="by SIGTERM; not saved; the same command resumes") as stop:
        callbacks.StopWhenAsked(progress, Every(asked=True)).on_train_batch_end(0)
    assert stop.value.code == 143
