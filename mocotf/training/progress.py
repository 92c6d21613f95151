"""How long a run is, how far it has come, and when something is to be done between its steps."""

import contextlib
import dataclasses
import signal
import time
from collections.abc import Callable

import keras

MEANT = {"loss", "acc1", "acc5"}  # shown are their means: from batch to batch they jump
LESS = 1e-3  # who has seen a collapse yields to who is asked to end


@dataclasses.dataclass(frozen=True)
class Every:
    """When something is done again and again; the last step is a time for it, too.

    Attributes:
        steps: between two times; 0 for no such times.
        minutes: since the last checkpoint; likewise.
        asked: when the run is asked to end.
        collapsed: when it is to be left as it is, because it has collapsed.
        given_up: when it is to end here for that reason.
    """

    steps: int = 0
    minutes: float = 0.0
    asked: bool = False
    collapsed: bool = False
    given_up: bool = False

    def due(self, progress):
        """Returns whether it is time after the step that a `Progress` is at."""
        last = progress.step == progress.run.course.total_steps
        if self.steps and (last or progress.before // self.steps < progress.step // self.steps):
            return True
        minutes = (progress.now - progress.saved_at) / 60
        return (
            0 < self.minutes <= minutes
            or (self.asked and progress.ending)
            or (self.collapsed and progress.collapsed)
            or (self.given_up and progress.given_up)
        )


@dataclasses.dataclass(frozen=True)
class Course:
    """The course of a run: how long it is, and when something is done between its steps.

    Attributes:
        total_steps, steps_per_epoch: of the run.
        batch_size: images a step, over all replicas.
        schedule: step → learning rate.
        log, save: when metrics are recorded, and checkpoints saved.
        keep: how many checkpoints, see `Checkpoints`.
        measure: when accuracy is measured, and recorded.
        compare: when the replicas are compared.
        chance: loss of a model that has learned nothing; None where there is no such level.
        most_skipped: batches left out, because a step on them diverged, before the run stops; None
            where that is not offered.
    """

    total_steps: int
    steps_per_epoch: int
    batch_size: int
    schedule: Callable
    log: Every
    save: Every
    keep: int
    measure: Every
    compare: Every = Every()
    chance: float | None = None
    most_skipped: int | None = None

    @classmethod
    def of(cls, settings, steps_per_epoch, schedule=None, **more):
        """Returns the course that settings describe.

        Args:
            settings: `TrainingSettings`.
            steps_per_epoch: of the run.
            schedule: in place of that of the settings.
            more: attributes that are not in the settings.
        """
        optimisation, run, _ = settings
        between = run.checkpoint_epochs * steps_per_epoch or run.checkpoint_every
        return cls(
            optimisation.total_steps(steps_per_epoch),
            steps_per_epoch,
            optimisation.batch_size,
            schedule or optimisation.make_schedule(steps_per_epoch),
            log=Every(run.log_every),
            save=Every(between, run.checkpoint_minutes, asked=True),
            keep=run.keep_checkpoints,
            **more,
        )


class Progress(keras.callbacks.Callback):
    """Counts a run's steps and times them: the first of its callbacks, which the others ask.

    Args:
        run: a `Run`.
        records: its `Records`, open; None on workers other than the chief.
        termination: a `Termination`.
        account: the run's `Account`.
        phase: the `Phase` that fitting is on the terminal.

    Attributes:
        run, records, account, phase: as given.
        step, before: steps taken so far, and before the last execution.
        now, saved_at: seconds on a clock, after that and when a checkpoint was last saved.
        ending: whether the run is to end now, as SIGTERM asks.
        collapsed: whether it is to be left as it is now, because it has collapsed.
        given_up: whether it is to end here for that reason, once all is measured and saved. Only the
            chief knows; to the others it has collapsed.
        accuracies: name → percent, measured after this step.
    """

    def __init__(self, run, records, termination, account, phase):
        super().__init__()
        self.run = run
        self.records = records
        self.account = account
        self.phase = phase
        self._termination = termination

    def on_train_begin(self, logs=None):
        self.step = self.model.step
        self.saved_at = time.monotonic()
        self.account.enter("compile")
        self._noted = self.model.gauges.data_wait
        self.start_window()

    def on_train_end(self, logs=None):
        self.account.enter("start")  # of the next epochs' fit, if there is one
        more = self.step < self.run.course.total_steps
        self.phase.restart("preparing the next epoch" if more else "ending the run")

    def on_train_batch_end(self, batch, logs=None):
        self.run.watchdog.hear()
        course, self.before = self.run.course, self.step
        epoch_end = (self.before // course.steps_per_epoch + 1) * course.steps_per_epoch
        executed = self.before + self.model.steps_per_execution
        self.step = min(executed, epoch_end, course.total_steps)
        self.now = time.monotonic()
        if self.account.phase == "compile":
            self._note_wait()
            self.account.enter("steps")
            self._without_compiling = self._mark()
            self.phase.restart("training")
        self.phase.done = self.step
        self._note(logs or {})
        self._termination.saves, self._termination.took = True, self.run.checkpoints.took
        self.ending, collapsed = self._agreed(logs)
        self.given_up = collapsed and self.run.health.exhausted
        self.collapsed = collapsed and not self.given_up
        self.accuracies = {}

    @property
    def asked(self):
        """How the run was asked to end, a phrase, and the exit code that tells of it."""
        if self._termination.requested:
            return self._termination.words, self._termination.code
        return "another worker was asked to end", 128 + signal.SIGTERM

    def announce(self):
        """Tells all workers whether this one wants the run to end; they will know a step later."""
        wish = 1.0 if self._termination.requested else -LESS if self._wants_to_act else 0.0
        if self.run.workers > 1 and wish:
            with self.model.distribute_strategy.scope():
                self.model.gauges.stop.assign(wish)

    def _agreed(self, logs):
        """Returns whether to end as asked, and whether by a collapse; all workers agree on it."""
        if self.run.workers == 1:
            asked = self._termination.requested is not None
            return asked, self._wants_to_act and not asked
        stop = float(logs["stop"])
        return stop > 0, stop < 0

    @property
    def _wants_to_act(self):
        return self.run.health is not None and self.run.health.must_act

    def start_window(self):
        """Begins with the steps that the next record is of."""
        self._window = self._without_compiling = self._mark()
        self._sums, self._executions = {}, 0

    def _mark(self):
        return time.perf_counter(), self.step, self.model.gauges.data_wait

    def _note(self, logs):
        """Adds to the sums of the window; a GPU is not waited for."""
        for name in MEANT.intersection(logs) if self.records else ():
            self._sums[name] = self._sums.get(name, 0.0) + logs[name]
        self._executions += 1

    def window_means(self):
        """Returns name → mean over the window's executions, a float, of what the line shows of it."""
        return {name: float(total) / self._executions for name, total in self._sums.items()}

    def _note_wait(self):
        noted, self._noted = self._noted, self.model.gauges.data_wait
        self.account.note_wait(self._noted - noted)

    def next_window(self):
        """Returns (steps, seconds, seconds waited for data) of the window, and begins the next.

        The execution that was compiled is left out, if there is another.
        """
        self._note_wait()
        steady = self._without_compiling[1] < self.step
        began, step, waited = self._without_compiling if steady else self._window
        self.start_window()
        now, at, waited_now = self._window
        return at - step, now - began, waited_now - waited

    @contextlib.contextmanager
    def untimed(self, phase):
        """Leaves what is done inside out of the window; it is another phase of the run's account."""
        _ = self.model.step  # a GPU still computes steps, whose time is theirs
        paused = time.perf_counter()
        with self.account.during(phase):
            yield
        passed = time.perf_counter() - paused
        self._window, self._without_compiling = (
            (began + passed, *rest) for began, *rest in (self._window, self._without_compiling)
        )
