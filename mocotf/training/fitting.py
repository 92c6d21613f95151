"""The settings of every command that trains, and what they make of a model."""

import dataclasses

from mocotf.errors import UserError
from mocotf.optim.loss_scale import LossScaledSGD
from mocotf.optim.settings import OptimisationSettings
from mocotf.optim.sgd import SGD
from mocotf.training.host import configure_host
from mocotf.training.progress import Course
from mocotf.training.progress import Every
from mocotf.training.settings import DeviceSettings
from mocotf.training.settings import RunSettings


@dataclasses.dataclass(frozen=True)
class Fitting:
    """How models are fitted: settings of three groups."""

    optimisation: OptimisationSettings
    run: RunSettings
    devices: DeviceSettings

    def configure_host(self):
        """Calls `configure_host`."""
        configure_host(
            self.devices.intra_op_threads,
            self.devices.inter_op_threads,
            device=self.devices.device,
            deterministic=self.devices.deterministic,
            tf32=self.devices.tf32 == "on",
        )

    def steps_of(self, size, what="images"):
        """Returns the steps of an epoch of so many images.

        Raises:
            UserError: they make no batch; they are called `what`.
        """
        batch = self.optimisation.batch_size
        if size < batch:
            raise UserError(
                f"--batch_size={batch}: there are only {size} {what} to train on; expected at least "
                f"one batch; try --batch_size={size}"
            )
        return size // batch

    def course(self, steps_per_epoch, schedule=None, *, measure_epochs=0, **more):
        """Returns the `Course` of a run.

        Args:
            steps_per_epoch: of the run.
            schedule: in place of that of the settings.
            measure_epochs: between measurements of accuracy.
            more: what else a `Course` has.
        """
        optimisation, run = self.optimisation, self.run
        return Course(
            optimisation.total_steps(steps_per_epoch),
            steps_per_epoch,
            optimisation.batch_size,
            schedule or optimisation.make_schedule(steps_per_epoch),
            log=Every(run.log_every),
            save=Every(
                run.checkpoint_epochs * steps_per_epoch or run.checkpoint_every,
                run.checkpoint_minutes,
                asked=True,
            ),
            keep=run.keep_checkpoints,
            **{"measure": Every(measure_epochs * steps_per_epoch)} | more,
        )

    def compile(self, model, schedule, lr_scales):
        """Compiles a `Trainer`, in the scope of its strategy, with an `SGD` built for its `theta`.

        Args:
            model: the trainer.
            schedule: step → learning rate.
            lr_scales: see `SGD`.

        Raises:
            UserError: no layer that is trained has the name of one of `lr_scales`.
        """
        paths = [variable.path for variable in model.theta]
        for prefix in lr_scales:
            if not any(path.startswith(prefix) for path in paths):
                known = dict.fromkeys(path.partition("/")[0].partition(".")[0] for path in paths)
                raise UserError(
                    f"--lr_scale={prefix}:…: no layer's name begins so; expected one of "
                    f"{', '.join(known)}"
                )
        sgd = (LossScaledSGD if self.devices.precision == "mixed_float16" else SGD)(
            schedule,
            momentum=self.optimisation.momentum,
            weight_decay=self.optimisation.weight_decay,
            lr_scales=lr_scales,
        )
        steps = self.run.steps_per_execution
        model.compile(optimizer=sgd, auto_scale_loss=False, steps_per_execution=steps)
        sgd.build(model.theta)
