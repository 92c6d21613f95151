"""A run that fits a model to labelled images: what linear, finetune, detect and segment share."""

from absl import flags

from mocotf.cli import fit_flags
from mocotf.errors import UserError
from mocotf.evaluation.measures import MEASURES
from mocotf.optim.loss_scale import LossScaledSGD
from mocotf.optim.sgd import SGD
from mocotf.training.callback import Desk
from mocotf.training.callback import Overseer
from mocotf.training.callback import Plan
from mocotf.training.checkpoints import Checkpoints
from mocotf.training.divergence import DivergenceError
from mocotf.training.fit import fit
from mocotf.training.records import Records
from mocotf.training.termination import Termination

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(fit_flags)


def compile_with_sgd(model, schedule, lr_scales):
    """Compiles a `Trainer` with the optimizer that the flags describe, for its `theta`.

    Args:
        model: the trainer, in the scope of its strategy.
        schedule: step → learning rate.
        lr_scales: see `SGD`.

    Raises:
        UserError: no layer that is trained has the name of one of these.
    """
    paths = [variable.path for variable in model.theta]
    for prefix in lr_scales:
        if not any(path.startswith(prefix) for path in paths):
            known = dict.fromkeys(path.partition("/")[0].partition(".")[0] for path in paths)
            raise UserError(
                f"--lr_scale={prefix}:…: no layer's name begins so; expected one of {', '.join(known)}"
            )
    rule = LossScaledSGD if FLAGS.precision == "mixed_float16" else SGD
    sgd = rule(schedule, momentum=FLAGS.momentum, weight_decay=FLAGS.weight_decay, lr_scales=lr_scales)
    model.compile(optimizer=sgd, auto_scale_loss=False, steps_per_execution=FLAGS.steps_per_execution)
    sgd.build(model.theta)


def train(model, run_dir, resolved, dataset_from, measure, *, bad_images, accuracy, **course):
    """Trains a model to the end, from its newest checkpoint if there is one.

    Args:
        model: a compiled `Trainer`.
        run_dir: a `RunDir`.
        resolved: name → text of the flags.
        dataset_from: step → endless dataset of training batches, that step's first.
        measure: step → name → number, of the model as it is.
        bad_images: a `BadImages`.
        accuracy: which of those numbers tells the best checkpoint.
        course: `schedule`, `total_steps`, `steps_per_epoch`, `measure_every` and `chance` of a `Plan`.

    Raises:
        UserError: loss or gradients are not finite.
    """
    steps_per_epoch, total_steps = course["steps_per_epoch"], course["total_steps"]
    checkpoints = Checkpoints(run_dir.file("checkpoints"), model, FLAGS.keep_checkpoints)
    step = checkpoints.restore() or 0
    run_dir.forget_after(step)
    if run_dir.resuming:
        print(f"resuming {run_dir.path} at step {step} of {total_steps}", flush=True)
    plan = Plan(
        batch_size=FLAGS.batch_size,
        log_every=FLAGS.log_every,
        checkpoint_every=FLAGS.checkpoint_epochs * steps_per_epoch or FLAGS.checkpoint_every,
        checkpoint_minutes=FLAGS.checkpoint_minutes,
        check_replicas_every=0,
        **course,
    )
    records = Records(run_dir, (*model.METRICS, *MEASURES), resolved, accuracy)
    desk = Desk(records, checkpoints, None, measure)
    try:
        with bad_images.explained():
            fit(
                model,
                dataset_from,
                steps_per_epoch=steps_per_epoch,
                total_steps=total_steps,
                callbacks=[Overseer(plan, Termination(), desk)],
            )
        desk.records.finish()
    except DivergenceError as divergence:
        raise UserError(
            f"step {divergence.step}: loss or gradients are not finite; try a lower --lr, in another "
            "--model_dir"
        ) from divergence
    finally:
        desk.records.close()
        checkpoints.wait()
