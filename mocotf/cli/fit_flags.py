"""Flags of every command that trains from the encoder of a run."""

from mocotf.cli import command
from mocotf.cli import settings_flags
from mocotf.errors import UserError
from mocotf.evaluation.settings import PretrainedSettings
from mocotf.optim.settings import OptimisationSettings
from mocotf.training.settings import DeviceSettings
from mocotf.training.settings import RunSettings
from mocotf.training.settings import TrainingSettings

TRAINING = (OptimisationSettings, RunSettings, DeviceSettings)
settings_flags.define(PretrainedSettings, *TRAINING)


def read(example):
    """Returns the `TrainingSettings` and `PretrainedSettings` that the flags give.

    Args:
        example: of a run directory's name, or None where the command needs none.

    Raises:
        UserError: they contradict each other, or the run has no place.
    """
    training = TrainingSettings(*map(settings_flags.read, TRAINING))
    if example and not training.run.model_dir:
        raise UserError(f"--model_dir is missing; expected a folder, such as --model_dir={example}")
    return training, settings_flags.read(PretrainedSettings)


def run_command(main, defaults, helps=None):
    """Runs a command of this kind.

    Args:
        main: see `command.run`.
        defaults: name → value, of shared flags that have another one here.
        helps: name → help, likewise.
    """
    settings_flags.adapt(defaults, helps or {})
    settings_flags.require("pretrained", "the --model_dir of a run, such as --pretrained=runs/v2")
    command.run(main, resumes=True)
