"""Checkpoints of everything a run is made of."""

import glob
import logging
import os

import tensorflow as tf

from mocotf.errors import UserError

log = logging.getLogger(__name__)


class Checkpoints:
    """Saves and restores both encoders, BN statistics, queue, pointer, optimizer and step.

    TensorFlow writes a checkpoint beside the old ones and renames it into place, then rewrites the
    list of those that are complete: an interrupted save leaves the one before it in force.

    Args:
        directory: where checkpoints are kept.
        model: a compiled `MoCo` whose optimizer is built.
        keep: how many of the newest to keep.
    """

    def __init__(self, directory, model, keep=3):
        self._model = model
        self._saved = None
        self._checkpoint = tf.train.Checkpoint(model=model, optimizer=model.optimizer)
        # TensorFlow's list of checkpoints may be lost or cut short; an index file is written last
        # and renamed into place, so those on disk are the truth.
        found = glob.glob(os.path.join(glob.escape(directory), "ckpt-*.index"))
        paths = sorted((path.removesuffix(".index") for path in found), key=_step_of)
        if paths:
            times = [os.path.getmtime(f"{path}.index") for path in paths]
            tf.compat.v1.train.update_checkpoint_state(
                directory, paths[-1], paths, all_model_checkpoint_timestamps=times
            )
        self._manager = tf.train.CheckpointManager(self._checkpoint, directory, max_to_keep=keep)

    def save(self):
        """Saves the state after the model's current step, once."""
        if self._saved != self._model.step:
            self._saved = self._model.step
            self._manager.save(checkpoint_number=self._saved)

    def restore(self):
        """Restores the newest readable checkpoint; returns its step, None where there is none.

        Raises:
            UserError: there are checkpoints, but none can be read.
        """
        candidates = self._manager.checkpoints[::-1]
        for path in candidates:
            try:
                self._checkpoint.restore(path).assert_consumed()
            except (tf.errors.OpError, AssertionError, IndexError, ValueError) as error:
                reason = str(error).strip().splitlines()[0]
                log.error("cannot read checkpoint %s (%s); trying the one before it", path, reason)
            else:
                self._saved = self._model.step
                return self._saved
        if candidates:
            raise UserError(
                f"{self._manager.directory}: none of {len(candidates)} checkpoints can be read; "
                "see the messages above; start again in another --model_dir"
            )
        return None


def _step_of(path):
    return int(path.rpartition("-")[2])
