"""The driver of every run: it restores, fits, records, measures, saves, stops and closes.

Pre-training, the supervised protocols and transfer differ in model, batches and what is measured, not
in this.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable

import keras
import tensorflow as tf

from mocotf import terminal
from mocotf.data.bad_images import BadImages
from mocotf.errors import Preempted
from mocotf.errors import UserError
from mocotf.metrics import Metric
from mocotf.tables import counted
from mocotf.training import callbacks
from mocotf.training import goodput
from mocotf.training import setbacks
from mocotf.training.checkpoints import Checkpoints
from mocotf.training.checkpoints import steps_in
from mocotf.training.divergence import DivergenceError
from mocotf.training.fit import fit
from mocotf.training.goodput import Account
from mocotf.training.health import CollapseError
from mocotf.training.health import Health
from mocotf.training.host import describe_devices
from mocotf.training.memory import fitting_batch
from mocotf.training.metrics_log import Records
from mocotf.training.progress import Course
from mocotf.training.progress import Every
from mocotf.training.progress import Progress
from mocotf.training.replicas import broadcast
from mocotf.training.replicas import meet
from mocotf.training.run_dir import RunDir
from mocotf.training.termination import Termination
from mocotf.training.tracker import Tracker
from mocotf.training.watchdog import Watchdog


@dataclasses.dataclass(frozen=True)
class Run:
    """A run of a model: from its newest checkpoint, if there is one, to its last step.

    Attributes:
        model: a compiled `Trainer`.
        course: a `Course`.
        batches_from: step → endless dataset of this worker's batches, that step's first.
        bad_images: a `BadImages`.
        checkpoints: a `Checkpoints` of the model.
        run_dir: a `RunDir`; None on workers other than the chief, which write nothing.
        measure: step → (name → accuracy in percent), of the model as it is; the first decides which
            checkpoint is the best. {} where nothing can be measured.
        measures: `Metric`s of accuracies.
        accuracy: name of the one that TensorBoard's table of runs shows.
        settings: name → text of what it shows beside.
        initialise: called where there is no checkpoint yet; returns whether it took weights from
            elsewhere.
        first_record: () → name → number, recorded before a new run's first step; None for no record.
        health: a `Health`, which has read the records on the chief only; None for none.
        workers: processes that take part.
        watchdog: a `Watchdog`, entered, which hears of every step.
        saves_memory: flags that the user may try beside a smaller batch.
        about: what is trained, a phrase.
        tracker: a `Tracker`, entered, which is told of the run.
    """

    model: keras.Model
    course: Course
    batches_from: Callable
    bad_images: BadImages
    checkpoints: Checkpoints
    run_dir: RunDir | None
    measure: Callable
    measures: tuple[Metric, ...]
    accuracy: str
    settings: dict[str, str]
    initialise: Callable = lambda: None
    first_record: Callable | None = None
    health: Health | None = None
    workers: int = 1
    watchdog: Watchdog = dataclasses.field(default_factory=lambda: Watchdog(None))
    saves_memory: tuple[str, ...] = ()
    about: str = ""
    tracker: Tracker = dataclasses.field(default_factory=Tracker)

    def train(self):
        """Trains to the last step.

        Raises:
            UserError: the run cannot go on, or its last checkpoint was not saved.
            Preempted: it was asked to end, and can be resumed.
        """
        with contextlib.closing(self.run_dir) if self.run_dir else contextlib.nullcontext():
            if self.run_dir:
                self._restore()
                self.tracker.open(self.run_dir)
                print(self._head(), flush=True)
            began = goodput.run_began()
            try:
                with Termination() as termination:
                    while not self._fit(termination, began):
                        began = time.time()
            finally:
                goodput.begin()  # a run that comes after this one
            if self.run_dir and not self.checkpoints.wait():
                raise UserError(
                    "the last checkpoint was not saved, see above; make room, and run the same command"
                )

    def _head(self):
        """Returns the line that says what begins now."""
        count = sum(v.shape.num_elements() for v in self.model.trained_variables)
        size = f"{count / 1e6:.1f} M" if count >= 1e5 else f"{count:,}"
        device = describe_devices(self.model.distribute_strategy)
        total, an_epoch = self.course.total_steps, self.course.steps_per_epoch
        length = counted(total, "step") + f", {an_epoch:,} an epoch" * (total > an_epoch)
        return f"{self.about}, {size} parameters · {device} · {length} · {self.run_dir.path}"

    def meet(self):
        """Waits until all workers are here."""
        if self.workers > 1:
            with self._explained():
                meet(self.model.distribute_strategy)

    def _restore(self):
        """Brings model and metrics to where the run is."""
        self.run_dir.metrics(whole=self._retries)
        begun = steps_in(self.checkpoints.directory)
        if self._retries and 0 not in begun and (not begun or self.run_dir.metrics()):
            self.checkpoints.check()  # before there is one of this model, whatever that is
            self.initialise()
            self.checkpoints.spared = {0, *begun}
            self.checkpoints.save()  # to have one to go back to, whenever the run collapses
        step, total_steps = self.checkpoints.restore(), self.course.total_steps
        if (step or 0) < total_steps:
            self.run_dir.keep_changes(step or 0)
        elif self.run_dir.altered:
            raise UserError(
                f"--model_dir={self.run_dir.path}: the run is at step {step} and would end at step "
                f"{total_steps}; expected a later end; try a larger --epochs or --steps"
            )
        self.run_dir.forget_after(step or 0)
        if step is None:
            if self.initialise() or self.course.most_skipped:
                # To have one to go back to, and what it began with, which may not be there again.
                self.checkpoints.save()
        elif step >= total_steps and not self.run_dir.metrics():
            raise UserError(
                f"--model_dir={self.run_dir.path}: its checkpoint is of step {step}; expected a step "
                f"before the last, {total_steps}; try a larger --epochs when converting"
            )
        if self.run_dir.resuming:
            print(f"resuming {self.run_dir.path} at step {step or 0} of {total_steps}", flush=True)

    def spare_checkpoints(self):
        """Keeps those that a collapse is retried from, however old they are."""
        if self.health and self.health.on_collapse != "warn":
            setbacks.spare_checkpoints(self)

    @property
    def _retries(self):
        return self.health is not None and self.health.on_collapse == "retry"

    def _fit(self, termination, began):
        """Fits from the step that the model is at; returns False where it went back to a checkpoint."""
        known = self.run_dir.metrics() if self.run_dir else []
        account = Account.resumed(known, self.model.step, began)
        records = self._open_records(account, new=not known) if self.run_dir else None
        try:
            with self._explained():
                if self._share_state():
                    with terminal.phase(
                        "compiling the first step",
                        self.course.total_steps,
                        "steps",
                        done=self.model.step,
                        shown=records is not None,
                    ) as phase:
                        progress = Progress(self, records, termination, account, phase)
                        fit(
                            self.model,
                            self.batches_from,
                            steps_per_epoch=self.course.steps_per_epoch,
                            total_steps=self.course.total_steps,
                            callbacks=self._callbacks(progress),
                        )
            if records:
                records.finish()
            return True
        except Preempted:
            self.meet()  # the chief has saved
            raise
        except DivergenceError as divergence:
            self.meet()  # this may end the run
            setbacks.leave_out_batch(self, divergence.step)
            return False
        except CollapseError:
            self.meet()  # likewise
            setbacks.retry(self)
            return False
        finally:
            if records:
                records.close()
                self.checkpoints.wait()  # whatever ends the run, what was begun is kept

    def _share_state(self):
        """Gives all workers the chief's state; returns whether the run is to go on."""
        shared = list(self.checkpoints.named.values())
        if self.health:
            rate = self.model.optimizer.lr_factor
            shared.append(rate)
            if self.run_dir:
                self.health.read(self.run_dir.metrics())
                with self.model.distribute_strategy.scope():
                    rate.assign(0.0 if self.health.given_up else self.health.lr_factor)
        if self.workers > 1:
            broadcast(self.model.distribute_strategy, shared)
        return not self.health or rate.numpy() > 0

    def _open_records(self, account, *, new):
        metrics = (*self.model.METRICS, *self.measures)
        records = Records(self.run_dir, metrics, self.settings, self.accuracy, self.tracker)
        if self.first_record and new:
            with self._explained(), account.during("evaluation"):
                first = {"step": 0, "epoch": 0} | self.first_record()
            records.write(first | account.told())
        return records

    def _callbacks(self, progress):
        """Returns the Keras callbacks in their order.

        A step's record is complete before a checkpoint of the step exists, so a resumed run finds in
        metrics.jsonl all that came before it.
        """
        course, given_up = self.course, Every(given_up=True)
        of_chief = [
            callbacks.MeasureAccuracy(progress, course.measure, given_up),
            callbacks.RecordMetrics(progress, course.log, course.measure, given_up),
        ]
        return [
            progress,
            callbacks.StopOnDivergence(progress, course.log, course.measure, course.save),
            callbacks.CompareReplicas(progress, course.compare),
            callbacks.StopOnCollapse(progress, Every(collapsed=True)),
            *(of_chief if progress.records else ()),
            callbacks.SaveCheckpoints(progress, course.save, given_up),
            callbacks.StopWhenAsked(progress, Every(asked=True)),
            callbacks.StopOnCollapse(progress, given_up),
            callbacks.Announce(progress),
        ]

    @contextlib.contextmanager
    def _explained(self):
        """Puts what TensorFlow says of memory and images in the user's language."""
        try:
            with self.bad_images.explained():
                yield
        except tf.errors.ResourceExhaustedError as error:
            fits = fitting_batch(error, self.course.batch_size)
            smaller = f"--batch_size={fits}, about the largest that does" if fits else "a smaller one"
            less = ", ".join([smaller, *self.saves_memory])
            raise UserError(
                f"--batch_size={self.course.batch_size}: does not fit the device's memory; try {less} "
                "or --precision=mixed_bfloat16"
            ) from error
