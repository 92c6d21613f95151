"""Checkpoints of everything a run is made of."""

import concurrent.futures
import glob
import hashlib
import logging
import os
import shutil
import time

import tensorflow as tf

from mocotf import terminal
from mocotf.errors import UserError
from mocotf.errors import first_line
from mocotf.files import read_file
from mocotf.training.divergence import SkippedBatches
from mocotf.training.state import assign
from mocotf.training.state import differences
from mocotf.training.state import shapes
from mocotf.training.state import state_of

log = logging.getLogger(__name__)

ENDINGS = (".data-00000-of-00001", ".index")  # the index last: where it is, the checkpoint is whole


class Checkpoints:
    """Saves and restores all of a model: of a `MoCo` both encoders with their BN statistics, queue,
    pointer, optimizer and step.

    A checkpoint is a pair of files that `tf.train.load_checkpoint` reads, with the names of
    `state_of`. It is written by a thread while training goes on, to files of other names that are
    then renamed: an interrupted save leaves the one before it in force. TensorFlow's own asynchronous
    checkpoints cannot copy the variables of Keras 3.

    Args:
        directory: where checkpoints are kept.
        model: a compiled `Trainer` whose optimizer is built.
        keep: how many of the newest to keep, beside the best.

    Attributes:
        directory: as given.
        skipped: the `SkippedBatches` of the run.
        spared: steps of checkpoints that are kept however old they are.
        named: name → variable of all that a checkpoint holds.
        took: seconds that the last save took; None before one has ended.
    """

    def __init__(self, directory, model, keep=3):
        self.directory = directory
        self._model = model
        self._keep = keep
        self.spared = frozenset()
        with model.distribute_strategy.scope():
            self.skipped = SkippedBatches()
        self.named = state_of(model) | {"skipped_batches": self.skipped.variable}
        self._best = os.path.join(directory, "best")
        self._saved = None
        self._writer = concurrent.futures.ThreadPoolExecutor(1, "checkpoint")
        self._pending = None
        self.took = None
        self._complete = True  # what was saved last

    def save(self, best=False):
        """Begins to save the state after the model's current step, once; waits for the last save.

        Args:
            best: save it to the folder `best`, which keeps this one only.
        """
        step = self._model.step
        if not best:
            if self._saved == step:
                return
            self._saved = step
        self.wait()
        began = time.monotonic()
        folder, keep = (self._best, 1) if best else (self.directory, self._keep)
        values = {name: tf.convert_to_tensor(v.numpy()) for name, v in self.named.items()}
        write = self._timed, began, folder, step, values, keep, self.spared
        self._pending = step, self._writer.submit(*write)

    def _timed(self, began, *what):
        _write(*what)
        self.took = time.monotonic() - began

    def wait(self):
        """Waits until the last save is complete; returns whether it succeeded. If not, says so."""
        if self._pending is None:
            return self._complete
        (step, result), self._pending = self._pending, None
        try:
            with terminal.phase(f"saving the checkpoint of step {step}", shown=not result.done()):
                result.result()
            self._complete = True
        except (OSError, tf.errors.OpError) as error:
            last = max(steps_in(self.directory), default="none")
            log.error(
                "cannot save the checkpoint of step %d (%s); the run goes on; the last good one is of "
                "step %s",
                step,
                first_line(error),
                last,
            )
            self._complete = False
        return self._complete

    def forget_after(self, step):
        """Deletes the checkpoints of later steps, the newest first, and the best if it is one."""
        self.wait()
        for folder in (self._best, self.directory):
            for later in steps_in(folder)[::-1]:
                if later > step:
                    _delete(folder, later)

    def restore(self):
        """Restores the newest readable checkpoint; returns its step, None where there is none.

        Raises:
            UserError: there are checkpoints, but none can be read, or they are of another model.
        """
        step, values = self._newest()
        if step is not None:
            with self._model.distribute_strategy.scope():
                assign(self.named, values)
            self._saved = step
        return step

    def check(self):
        """Checks the newest readable checkpoint, if there is one, against the model; raises as
        `restore`."""
        self._newest()

    def _newest(self):
        """Returns (step, name → array) of the newest readable checkpoint, (None, {}) where there is
        none; raises as `restore`."""
        self.wait()
        steps = steps_in(self.directory)[::-1]
        for step in steps:
            path = path_of(self.directory, step)
            try:
                values = read(path)
            except (tf.errors.OpError, ValueError, IndexError) as error:
                log.error(
                    "cannot read checkpoint %s (%s); trying the one before it", path, first_line(error)
                )
                continue
            if odd := differences(shapes(values), shapes(self.named)):
                raise UserError(
                    f"{path}: is of another model: {odd}; expected the flags it was made by"
                )
            return step, values
        if steps:
            raise UserError(
                f"{self.directory}: none of {len(steps)} checkpoints can be read; "
                "see the messages above; start again in another --model_dir"
            )
        return None, {}


def steps_in(folder):
    """Returns the steps of which a folder has a checkpoint, ascending."""
    found = glob.glob(os.path.join(glob.escape(folder), "ckpt-*.index"))
    return sorted(int(path.removesuffix(".index").rpartition("-")[2]) for path in found)


def path_of(folder, step):
    """Returns what the names of a checkpoint's files begin with."""
    return os.path.join(folder, f"ckpt-{step}")


def newest_in(run):
    """Returns the path of the newest checkpoint of a run directory.

    Raises:
        UserError: it has none.
    """
    folder = os.path.join(run, "checkpoints")
    steps = steps_in(folder)
    if not steps:
        raise UserError(
            f"{run}: this run has no checkpoint yet; expected one; try the command that began the run, "
            "which goes on"
        )
    return path_of(folder, steps[-1])


def digest(path):
    """Returns what tells the weights in a checkpoint from others', 16 hexadecimal digits.

    Raises:
        UserError: it is not there, or no longer.
    """
    # It has a checksum of each variable.
    return hashlib.sha256(read_file(f"{path}.index")).hexdigest()[:16]


def read(path):
    """Returns name → array of a checkpoint's variables; its path ends in ckpt-STEP.

    Raises:
        tf.errors.OpError, ValueError: it is not there, or damaged.
    """
    reader = tf.train.load_checkpoint(path)
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def _write(folder, step, values, keep, spared):
    partial = os.path.join(folder, "partial")
    shutil.rmtree(partial, ignore_errors=True)
    os.makedirs(partial)
    written = os.path.join(partial, "ckpt")
    try:
        with tf.device("CPU"):
            tf.raw_ops.SaveV2(
                prefix=written,
                tensor_names=list(values),
                shape_and_slices=[""] * len(values),
                tensors=list(values.values()),
            )
        for ending in ENDINGS:
            with open(written + ending, "rb+") as file:  # Windows asks for leave to write
                os.fsync(file.fileno())
        for ending in ENDINGS:
            os.replace(written + ending, path_of(folder, step) + ending)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    # Later ones could not be read, or are of a course that was given up.
    kept = [known for known in steps_in(folder) if known <= step][-keep:]
    for old in steps_in(folder):
        if old not in kept and old not in spared:
            _delete(folder, old)


def _delete(folder, step):
    for ending in ENDINGS[::-1]:
        os.remove(path_of(folder, step) + ending)
