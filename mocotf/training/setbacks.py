"""How a run goes back to a checkpoint: from a step that diverged, and from a collapse.

Each ends with the chief's model, checkpoints and metrics as they were at the step gone back to; from it
the other workers receive what it has restored. A process may be killed between any two of these writes:
the run that is resumed then comes to the same setback, and goes back as this one would have.
"""

import logging

from mocotf.errors import UserError
from mocotf.training.checkpoints import steps_in
from mocotf.training.health import MOST_RETRIES

log = logging.getLogger(__name__)


def leave_out_batch(run, step):
    """Returns to the last checkpoint, from where the batch of a step that diverged is left out.

    Args:
        run: a `Run`.
        step: that diverged, counted from 1.

    Raises:
        UserError: that is not wanted, or no longer.
    """
    run.checkpoints.wait()  # for one of a healthy step, which may still be being written
    skipped, most = run.checkpoints.skipped, run.course.most_skipped
    batch, known = skipped.batch_of(step - 1), skipped.batches
    what = f"step {step}: loss or gradients are not finite: the run has diverged"
    if len(known) >= (most or 0):
        last = max(steps_in(run.checkpoints.directory), default=0)
        more = f" ({len(known)} batches were left out before)" if known else ""
        other = {None: "", 0: ", or --on_nan=restore"}.get(most, ", or a larger --max_skipped_batches")
        raise UserError(
            f"{what}{more}; the last healthy checkpoint is that of step {last}, nothing was saved "
            "since; try a lower --lr or --warmup_epochs, in another --model_dir"
            f"{other}"
        )
    with run.model.distribute_strategy.scope():
        run.model.gauges.unhealthy_step.assign(-1)
    if run.run_dir:
        restored = run.checkpoints.restore()
        run.run_dir.forget_after(restored)
        with run.model.distribute_strategy.scope():
            skipped.skip([*known, batch])
        log.warning("%s; back at step %d, from where batch %d is left out", what, restored, batch)


def retry(run):
    """Returns to the last healthy checkpoint, from where the learning rate is a third of what it was;
    after the last retry says that the run is given up.

    Args:
        run: a `Run` that has collapsed.

    Raises:
        UserError: that is not wanted, or there is no such checkpoint.
    """
    health, steps_per_epoch = run.health, run.course.steps_per_epoch
    with run.model.distribute_strategy.scope():
        run.model.gauges.stop.assign(0.0)
    if not run.run_dir:
        if health.on_collapse == "stop":
            raise UserError("the run has collapsed, and ends; the chief says what was seen")
        return
    collapse = health.collapse
    if health.given_up:
        log.warning("%s; after %d retries the run ends here", collapse.what, health.retries)
        return
    step = last_healthy(run)
    if health.on_collapse == "stop" or step is None:
        kept = "there is no earlier checkpoint" if step is None else f"that of step {step} is healthy"
        raise UserError(f"{collapse.what}; {kept}; try {collapse.hint}, in another --model_dir")
    note = health.next_retry
    run.checkpoints.forget_after(step)  # newest first, so that no record is without its checkpoint
    restored = run.checkpoints.restore()
    run.run_dir.forget_after(restored, {"step": restored, "epoch": restored // steps_per_epoch} | note)
    log.warning(
        "%s; back at step %d with a third of the rate, retry %d of %d",
        collapse.what,
        restored,
        note["retry"],
        MOST_RETRIES,
    )


def spare_checkpoints(run):
    """Keeps the checkpoints that a collapse may be retried from, now or later, however old they are."""
    run.checkpoints.wait()  # for the last one to be there
    oldest = last_healthy(run) or 0
    run.checkpoints.spared = {0} | {step for step in _candidates(run) if step >= oldest}


def last_healthy(run):
    """Returns the step of the checkpoint that a collapse is retried from; None where there is none."""
    return max((step for step in _candidates(run) if step <= run.health.healthy), default=None)


def _candidates(run):
    """Returns the steps of the checkpoints that may be gone back to: the first of each window.

    Not those that were saved because the run was asked to end, or by the clock: another run of the
    same flags does not have them.
    """
    every, window = run.course.save.steps, run.health.window

    def first_of_window(step):
        late = step % every
        due = step - late
        return late < run.model.steps_per_execution and due // window > (due - every) // window

    return [step for step in steps_in(run.checkpoints.directory) if first_of_window(step)]
