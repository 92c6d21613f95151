"""Keras `compile` and `fit` for a whole run, from any step of it."""

import tensorflow as tf

from mocotf.errors import UserError

# On each device. A copy to a GPU waits for the steps that were asked for before it: of one batch ahead,
# the next would come when the last step has ended.
BATCHES_AHEAD = 2


def compile_trainer(model, settings, schedule, lr_scales):
    """Compiles a `Trainer`, in the scope of its strategy.

    Args:
        model: the trainer.
        settings: `TrainingSettings`.
        schedule, lr_scales: see `FusedOptimizer`.

    Raises:
        UserError: no layer that is trained has the name of one of `lr_scales`.
    """
    paths = [variable.path for variable in model.trained_variables]
    for prefix in lr_scales:
        if not any(path.startswith(prefix) for path in paths):
            known = dict.fromkeys(path.partition("/")[0].partition(".")[0] for path in paths)
            raise UserError(
                f"--lr_scale={prefix}:…: no layer's name begins so; expected one of {', '.join(known)}"
            )
    float16 = settings.devices.precision == "mixed_float16"
    options = {"float16": float16, "lr_scales": lr_scales}
    optimizer = settings.optimisation.make_optimizer(schedule, **options)
    steps = settings.run.steps_per_execution
    model.compile(optimizer, auto_scale_loss=False, steps_per_execution=steps)


def fit(model, dataset_from, *, steps_per_epoch, total_steps, callbacks):
    """Trains `model` from its current step to `total_steps`.

    Keras counts whole epochs only: so the rest of an epoch that a stopped run left, and an incomplete
    last epoch, are fits of their own.

    Args:
        model: a compiled `Trainer`.
        dataset_from: step → endless dataset whose first batch is this worker's share of that step's.
        steps_per_epoch, total_steps: of the whole run.
        callbacks: Keras callbacks.
    """
    model.steps_per_epoch = steps_per_epoch
    model.total_steps = total_steps
    while model.step < total_steps:
        epoch, done = divmod(model.step, steps_per_epoch)
        left = total_steps - model.step
        whole_epochs = 0 if done else left // steps_per_epoch
        model.fit(
            distribute(model.distribute_strategy, dataset_from(model.step)),
            initial_epoch=epoch,
            epochs=epoch + max(1, whole_epochs),
            steps_per_epoch=steps_per_epoch if whole_epochs else min(steps_per_epoch - done, left),
            callbacks=callbacks,
            shuffle=False,
            verbose=0,
        )


def distribute(strategy, dataset):
    """Returns the distributed dataset of one worker's batches: equal, contiguous shares a replica.

    `experimental_distribute_dataset` would take them for batches of all workers.
    """

    def of_this_worker(context):
        replicas = context.num_replicas_in_sync // context.num_input_pipelines
        if replicas == 1:
            return dataset
        return dataset.rebatch(dataset.element_spec[0].shape[0] // replicas, drop_remainder=True)

    ahead = tf.distribute.InputOptions(experimental_per_replica_buffer_size=BATCHES_AHEAD)
    return strategy.distribute_datasets_from_function(of_this_worker, ahead)
