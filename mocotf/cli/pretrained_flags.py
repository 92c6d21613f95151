"""The flag of commands that go on from a run, and how such a command is started."""

from absl import flags

from mocotf.cli import command

FLAGS = flags.FLAGS

flags.DEFINE_string(
    "pretrained", None, "Run whose encoder is taken: a run directory, or a checkpoint, ckpt-STEP."
)


def run_command(main, defaults):
    """Runs a command of this kind, with defaults of its own for the shared flags."""
    for flag, value in defaults.items():
        FLAGS.set_default(flag, value)
    flags.register_validator(
        "pretrained", bool, "expected the --model_dir of a run, such as --pretrained=runs/v2"
    )
    command.run(main)
