"""What is done between the steps of a run, each by a callback of its own; `Run` puts them in order."""

import time

import keras

from mocotf import terminal
from mocotf.errors import Preempted
from mocotf.training.divergence import DivergenceError
from mocotf.training.health import CollapseError
from mocotf.training.replicas import check_replicas
from mocotf.training.state import shared_state

A_MINUTE = 60.0


class Timed(keras.callbacks.Callback):
    """Does something after some of a run's steps: `act`, which is given what the step reported.

    Args:
        progress: a `Progress`, which is called before this one.
        *when: `Every`s; it acts where one of them says that it is time.
    """

    def __init__(self, progress, *when):
        super().__init__()
        self.progress = progress
        self.run = progress.run
        self._when = when

    def on_train_batch_end(self, batch, logs=None):
        if any(every.due(self.progress) for every in self._when):
            self.act(logs)


class StopOnDivergence(Timed):
    """Ends `fit` by a `DivergenceError` once loss or gradients of a step were not finite."""

    def act(self, logs):
        step = int(self.model.gauges.unhealthy_step.numpy())
        if step >= 0:
            raise DivergenceError(step)


class CompareReplicas(Timed):
    """Checks the replicas' copies of what must be equal against each other."""

    def act(self, logs):
        with self.progress.untimed("evaluation"):
            check_replicas(self.model.distribute_strategy, shared_state(self.model))


class MeasureAccuracy(Timed):
    """Measures accuracies, and keeps the checkpoint that is best by the first of them."""

    def act(self, logs):
        with self.progress.untimed("evaluation"):
            found = self.progress.accuracies = self.run.measure(self.progress.step)
            for name, accuracy in list(found.items())[:1]:
                if accuracy > self.progress.records.highest.get(name, -1.0):
                    self.run.checkpoints.save(best=True)


class RecordMetrics(Timed):
    """Writes a record of the step, has it looked at, and shows what a user watches."""

    def __init__(self, progress, *when):
        super().__init__(progress, *when)
        self._printed = 0, time.monotonic()  # epoch, and when

    def act(self, logs):
        progress, course, health = self.progress, self.run.course, self.run.health
        # Read first: a GPU has computed all steps of the window only then.
        reported = {name: float(value) for name, value in logs.items() if name != "stop"}
        means = progress.window_means()
        steps, seconds, waited = progress.next_window()
        record = {
            "step": progress.step,
            "epoch": progress.step // course.steps_per_epoch,
            **({} if course.chance is None else {"chance": course.chance}),
            **reported,
            "lr": float(course.schedule(progress.step - 1)) * (health.lr_factor if health else 1.0),
            "images_per_second": round(steps * course.batch_size / seconds, 2),
            "data_wait": round(min(1.0, waited / seconds), 4),
            **progress.account.told(),
        }
        record |= self.model.watched(record, course.batch_size) | progress.accuracies
        if progress.given_up:
            record["collapsed_at"] = health.collapse.step
        progress.records.write(record)
        if health:
            health.look(record)
        shown = record | means
        progress.phase.beside = progress.records.beside_bar(shown, course)
        if self._is_to_stay(record):
            live, left = terminal.is_live(), progress.phase.seconds_left
            print(progress.records.progress_line(shown, course, left, live), flush=True)
            terminal.hear()

    def _is_to_stay(self, record):
        """Returns whether a line is to stay on the terminal: beside a live one only few."""
        last = record["step"] == self.run.course.total_steps
        epoch, printed = self._printed
        due = record["epoch"] > epoch and time.monotonic() - printed > A_MINUTE
        stays = not terminal.is_live() or self.progress.accuracies or last or due
        if stays:
            self._printed = record["epoch"], time.monotonic()
        return stays


class SaveCheckpoints(Timed):
    """Begins to save a checkpoint, of which only the chief has one."""

    def act(self, logs):
        with self.progress.untimed("checkpoint"):
            self.progress.saved_at = time.monotonic()
            if self.progress.records:
                self.run.spare_checkpoints()
                self.progress.records.bring_to_disk()
                self.run.checkpoints.save()


class StopWhenAsked(Timed):
    """Ends `fit` by a `Preempted` once the checkpoint of the step is complete."""

    def act(self, logs):
        saved = not self.progress.records or self.run.checkpoints.wait()
        kept = f"saved at step {self.progress.step}" if saved else "not saved"
        asked, code = self.progress.asked
        raise Preempted(f"{asked}; {kept}; the same command resumes the run", code)


class StopOnCollapse(Timed):
    """Ends `fit` by a `CollapseError` in the step after a collapse was seen."""

    def act(self, logs):
        raise CollapseError


class Announce(keras.callbacks.Callback):
    """Lets all workers know in the next step what one of them knows in this one."""

    def __init__(self, progress):
        super().__init__()
        self.progress = progress

    def on_train_batch_end(self, batch, logs=None):
        self.progress.announce()
