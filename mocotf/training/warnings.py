"""Warnings of a run that computes, but learns nothing or the wrong thing."""

import logging

log = logging.getLogger(__name__)

COLLAPSED = 0.02  # spread of the embeddings: 1 is uniform on the sphere
LEAK = 99.0  # percent
AT_CHANCE = 0.99  # of the loss that a model has which learned nothing
PATIENCE = 1000  # steps, and three times those until negatives are images


class HealthWarnings:
    """Looks at the records of a run and warns, of each thing once.

    Args:
        total_steps: of the run.
        steps_to_fill: until all negatives are encoded images; before, they are noise.
        hints: what is to be looked at where the encoder is in "collapse", where there is a "leak", and
            where the loss stays that of "chance"; a mechanism that says nothing of one is not warned
            of it.
    """

    def __init__(self, total_steps, steps_to_fill, hints):
        self._total_steps = total_steps
        self._steps_to_fill = steps_to_fill
        self._hints = hints
        self._given = set()

    def look(self, record):
        """Warns of what a record of metrics.jsonl gives cause to."""
        step = record["step"]
        if step <= self._steps_to_fill:
            return
        if record["feature_std"] < COLLAPSED:
            self._warn(
                "collapse",
                f"step {step}: the embeddings are nearly all the same (feature_std "
                f"{record['feature_std']:.3g}, healthy near 1): the encoder collapses",
            )
        early = step < self._total_steps / 10
        if early and record.get("acc1", 0) > LEAK:
            self._warn(
                "leak",
                f"step {step}: acc1 {record['acc1']:.1f} % so early: the pretext task is too easy",
            )
        waited = step > max(PATIENCE, 3 * self._steps_to_fill)
        if waited and "chance" in record and record["loss"] > AT_CHANCE * record["chance"]:
            self._warn(
                "chance",
                f"step {step}: the loss, {record['loss']:.3f}, is still that of chance, "
                f"{record['chance']:.3f}: nothing is learned",
            )

    def _warn(self, kind, message):
        if kind in self._hints and kind not in self._given:
            self._given.add(kind)
            log.warning("%s; look %s", message, self._hints[kind])
