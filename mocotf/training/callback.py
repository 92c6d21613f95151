"""What happens between the steps of a pre-training run."""

import dataclasses
import math
import time
from collections.abc import Callable

import keras

from mocotf.errors import UserError
from mocotf.training.records import progress_line


@dataclasses.dataclass(frozen=True)
class Plan:
    """The course of a run, in steps unless said otherwise.

    Attributes:
        total_steps, steps_per_epoch: of the run.
        batch_size: images a step, over all replicas.
        log_every: between records.
        checkpoint_every: between checkpoints; the last step is one too.
        knn_every: epochs between kNN measurements, the last step being one; 0 for none.
        schedule: step → learning rate.
        chance: loss of a model that has learned nothing.
    """

    total_steps: int
    steps_per_epoch: int
    batch_size: int
    log_every: int
    checkpoint_every: int
    knn_every: int
    schedule: Callable
    chance: float


class Overseer(keras.callbacks.Callback):
    """Records metrics, measures kNN, saves checkpoints, and prints progress, in that order.

    A step's record is complete before a checkpoint of the step exists, so a resumed run finds in
    metrics.jsonl all that came before it.

    Args:
        plan: a `Plan`.
        records: a `Records`.
        checkpoints: a `Checkpoints`.
        measure_knn: returns the kNN top-1 of the query encoder.
    """

    def __init__(self, plan, records, checkpoints, measure_knn):
        super().__init__()
        self._plan = plan
        self._records = records
        self._checkpoints = checkpoints
        self._measure_knn = measure_knn

    def on_train_begin(self, logs=None):
        self._step = self.model.step
        self._open_window()

    def on_train_batch_end(self, batch, logs=None):
        plan, before = self._plan, self._step
        epoch_end = (before // plan.steps_per_epoch + 1) * plan.steps_per_epoch
        self._step = min(before + self.model.steps_per_execution, epoch_end, plan.total_steps)
        last = self._step == plan.total_steps

        def passed(every):
            return every > 0 and (last or before // every < self._step // every)

        knn = passed(plan.knn_every * plan.steps_per_epoch)
        if passed(plan.log_every) or knn:
            self._record(logs, knn)
        if passed(plan.checkpoint_every):
            self._stop_if_diverged(logs)
            paused = time.perf_counter()
            self._checkpoints.save()
            self._window_start += time.perf_counter() - paused

    def _stop_if_diverged(self, logs):
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            raise UserError(
                f"the loss of step {self._step} is {loss}: the run has diverged; nothing was saved "
                "since the last checkpoint; try a lower --lr or --warmup_epochs, in another --model_dir"
            )

    def _record(self, logs, knn):
        plan = self._plan
        self._stop_if_diverged(logs)
        record = {
            "step": self._step,
            "epoch": self._step // plan.steps_per_epoch,
            "loss": float(logs["loss"]),
            "chance": plan.chance,
            "acc1": float(logs["acc1"]),
            "acc5": float(logs["acc5"]),
            "lr": float(plan.schedule(self._step - 1)),
            "m": self.model.m,
        }
        seconds = time.perf_counter() - self._window_start
        steps = self._step - self._window_step
        waited = float(self.model.data_wait.numpy()) - self._window_wait
        record["images_per_second"] = round(steps * plan.batch_size / seconds, 2)
        record["data_wait"] = round(min(1.0, waited / seconds), 4)
        if knn:
            record["knn_top1"] = self._measure_knn()
        self._records.write(record)
        seconds_left = (plan.total_steps - self._step) * seconds / steps
        print(progress_line(record, plan, seconds_left), flush=True)
        self._open_window()

    def _open_window(self):
        self._window_start = time.perf_counter()
        self._window_step = self._step
        self._window_wait = float(self.model.data_wait.numpy())
