"""How a command starts that trains from the encoder of a run."""

from mocotf.cli import command
from mocotf.cli import settings_flags


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
