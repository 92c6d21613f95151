"""Checkpoints of everything a run is made of."""

import logging

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
        self._checkpoint = tf.train.Checkpoint(model=model, optimizer=model.optimizer)
        self._manager = tf.train.CheckpointManager(self._checkpoint, directory, max_to_keep=keep)

    def save(self):
        """Saves the state after the model's current step, once."""
        step = self._model.step
        if not (self._manager.latest_checkpoint or "").endswith(f"-{step}"):
            self._manager.save(checkpoint_number=step)

    def restore(self):
        """Restores the newest readable checkpoint; returns its step, 0 where there is none.

        Raises:
            UserError: there are checkpoints, but none can be read.
        """
        candidates = self._manager.checkpoints[::-1]
        for path in candidates:
            try:
                self._checkpoint.restore(path).assert_consumed()
                return self._model.step
            except (tf.errors.OpError, AssertionError, IndexError, ValueError) as error:
                reason = str(error).strip().splitlines()[0]
                log.error("cannot read checkpoint %s (%s); trying the one before it", path, reason)
        if candidates:
            raise UserError(
                f"{self._manager.directory}: none of {len(candidates)} checkpoints can be read; "
                "see the messages above; start again in another --model_dir"
            )
        return 0
