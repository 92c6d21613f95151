"""Warnings of a run that computes, but learns nothing or the wrong thing."""

import logging

log = logging.getLogger(__name__)

COLLAPSED = 0.02  # spread of the queries: 1 is uniform on the sphere
LEAK = 99.0  # percent
AT_CHANCE = 0.99  # of the loss that a model has which learned nothing
PATIENCE = 1000  # steps, and three times those that fill the queue


class Alarms:
    """Looks at the records of a run and warns, of each thing once.

    Args:
        total_steps: of the run.
        steps_to_fill: in which the queue is filled by keys; until then negatives are noise.
        cures: what is to be looked at where there is a "leak", and where the loss stays that of
            "chance"; a mechanism of which one of these says nothing has none.
    """

    def __init__(self, total_steps, steps_to_fill, cures):
        self._total_steps = total_steps
        self._steps_to_fill = steps_to_fill
        self._cures = cures
        self._raised = set()

    def look(self, record):
        """Warns of what a record, see `Overseer`, gives cause to."""
        step = record["step"]
        if step <= self._steps_to_fill:
            return
        if record["feature_std"] < COLLAPSED:
            self._warn(
                "collapse",
                f"step {step}: the queries are nearly all the same (feature_std "
                f"{record['feature_std']:.3g}, healthy near 1): the encoder collapses; look at --lr, "
                "--moco_t and at the views in TensorBoard",
            )
        early = step < self._total_steps / 10
        if "leak" in self._cures and record["acc1"] > LEAK and early:
            self._warn(
                "leak",
                f"step {step}: acc1 {record['acc1']:.1f} % so early: the pretext task is too easy; "
                f"look {self._cures['leak']}",
            )
        waited = step > max(PATIENCE, 3 * self._steps_to_fill)
        if "chance" in self._cures and waited and record["loss"] > AT_CHANCE * record["chance"]:
            self._warn(
                "chance",
                f"step {step}: the loss, {record['loss']:.3f}, is still that of chance, "
                f"{record['chance']:.3f}: nothing is learned; look at {self._cures['chance']}",
            )

    def _warn(self, kind, message):
        if kind not in self._raised:
            self._raised.add(kind)
            log.warning(message)
