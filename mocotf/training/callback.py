"""What happens between the steps of a pre-training run."""

import contextlib
import dataclasses
import time
from collections.abc import Callable

import keras

from mocotf.errors import Preempted
from mocotf.training.checkpoints import Checkpoints
from mocotf.training.divergence import DivergenceError
from mocotf.training.records import Records
from mocotf.training.replicas import check_replicas
from mocotf.training.state import shared_state
from mocotf.training.warnings import HealthWarnings


@dataclasses.dataclass(frozen=True)
class Plan:
    """The course of a run, in steps unless said otherwise; the last step is one of every kind.

    Attributes:
        total_steps, steps_per_epoch: of the run.
        batch_size: images a step, over all replicas.
        log_every: between records.
        checkpoint_every, checkpoint_minutes: between checkpoints, whichever is over first; 0 for not.
        measure_every: epochs between measurements of accuracy; 0 for none.
        check_replicas_every: between comparisons of the replicas; 0 for none.
        schedule: step → learning rate.
        chance: loss of a model that has learned nothing; None where there is no such level.
        workers: processes that take part.
    """

    total_steps: int
    steps_per_epoch: int
    batch_size: int
    log_every: int
    checkpoint_every: int
    checkpoint_minutes: float
    measure_every: int
    check_replicas_every: int
    schedule: Callable
    chance: float | None
    workers: int = 1


class Overseer(keras.callbacks.Callback):
    """Records metrics, measures accuracy, saves checkpoints, and prints progress, in that order; ends
    the run where it has diverged, or was asked to end.

    A step's record is complete before a checkpoint of the step exists, so a resumed run finds in
    metrics.jsonl all that came before it.

    Args:
        plan: a `Plan`.
        termination: a `Termination`.
        desk: what only the chief has, a `Desk`; None on other workers.

    Raises:
        DivergenceError, Preempted: out of `fit`.
    """

    def __init__(self, plan, termination, desk=None):
        super().__init__()
        self._plan = plan
        self._termination = termination
        self._desk = desk

    def on_train_begin(self, logs=None):
        self._step = self.model.step
        self._saved_at = time.monotonic()
        self._open_window()

    def on_train_batch_end(self, batch, logs=None):
        plan, before = self._plan, self._step
        epoch_end = (before // plan.steps_per_epoch + 1) * plan.steps_per_epoch
        self._step = min(before + self.model.steps_per_execution, epoch_end, plan.total_steps)
        last = self._step == plan.total_steps

        def passed(every):
            return every > 0 and (last or before // every < self._step // every)

        measure = passed(plan.measure_every * plan.steps_per_epoch)
        log = passed(plan.log_every) or measure
        minutes = (time.monotonic() - self._saved_at) / 60
        save = passed(plan.checkpoint_every) or 0 < plan.checkpoint_minutes <= minutes
        stop = self._must_stop(logs)
        if log or save or stop:
            self._stop_if_diverged()
        if passed(plan.check_replicas_every):
            with self._untimed():
                check_replicas(self.model.distribute_strategy, shared_state(self.model))
        if log:
            self._record(logs, measure)
        if save or stop:
            with self._untimed():
                self._save(stop)

    def _must_stop(self, logs):
        """Returns whether the run is to end now; all workers agree, a step after one was asked."""
        if self._plan.workers == 1:
            return self._termination.requested
        if self._termination.requested:
            with self.model.distribute_strategy.scope():
                self.model.gauges.stop.assign(1.0)
        return float(logs["stop"]) > 0

    def _stop_if_diverged(self):
        step = int(self.model.gauges.unhealthy_step.numpy())
        if step >= 0:
            raise DivergenceError(step)

    def _save(self, stop):
        self._saved_at = time.monotonic()
        if self._desk:
            self._desk.checkpoints.save()
        if stop:
            saved = self._desk is None or self._desk.checkpoints.wait()
            kept = f"saved at step {self._step}" if saved else "not saved"
            raise Preempted(f"asked to end by SIGTERM; {kept}; the same command resumes the run")

    def _record(self, logs, measure):
        seconds = time.perf_counter() - self._window_start
        if self._desk:
            steps = self._step - self._window_step
            waited = float(self.model.gauges.data_wait.numpy()) - self._window_wait
            record = {
                "step": self._step,
                "epoch": self._step // self._plan.steps_per_epoch,
                **({} if self._plan.chance is None else {"chance": self._plan.chance}),
                **{name: float(value) for name, value in logs.items() if name != "stop"},
                "lr": float(self._plan.schedule(self._step - 1)),
                "images_per_second": round(steps * self._plan.batch_size / seconds, 2),
                "data_wait": round(min(1.0, waited / seconds), 4),
            }
            record |= self.model.watched(record, self._plan.batch_size)
            self._desk.file(record, measure)
            seconds_left = (self._plan.total_steps - self._step) * seconds / steps
            line = self._desk.records.progress_line(record, self._plan, seconds_left)
            print(line, flush=True)
        self._open_window()

    @contextlib.contextmanager
    def _untimed(self):
        paused = time.perf_counter()
        yield
        self._window_start += time.perf_counter() - paused

    def _open_window(self):
        self._window_start = time.perf_counter()
        self._window_step = self._step
        self._window_wait = float(self.model.gauges.data_wait.numpy())


@dataclasses.dataclass(frozen=True)
class Desk:
    """Where the chief of a run keeps its records and checkpoints.

    Attributes:
        records: a `Records`.
        checkpoints: a `Checkpoints`.
        warnings: a `HealthWarnings`, or None.
        measure: step → (name → accuracy in percent), of which the first decides which checkpoint is the
            best; {} where nothing can be measured.
    """

    records: Records
    checkpoints: Checkpoints
    warnings: HealthWarnings | None
    measure: Callable

    def file(self, record, measure):
        """Completes a record by accuracies if `measure`, and keeps it."""
        if measure:
            found = self.measure(record["step"])
            record |= found
            for criterion, value in list(found.items())[:1]:
                if value > self.records.highest.get(criterion, -1.0):
                    self.checkpoints.save(best=True)
        self.records.write(record)
        if self.warnings:
            self.warnings.look(record)
