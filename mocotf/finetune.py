r"""Fine-tunes a whole encoder, batch norm included, with a new classifier on top.

    python -m mocotf.finetune --flagfile=flags/finetune.cfg --pretrained=runs/v2 --model_dir=runs/v2_ft
    python -m mocotf.finetune --label_fraction=.1 --pretrained=runs/v2 --model_dir=runs/v2_ft10

From scratch, with the same labels and steps: --untrained.
"""

from mocotf.cli import command  # first: it keeps TensorFlow's start-up notices off the terminal

# isort: split
from absl import flags

from mocotf.cli import layer_flags
from mocotf.cli import pretrained_flags
from mocotf.cli import supervised
from mocotf.cli import task
from mocotf.errors import UserError

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(task)
flags.adopt_module_key_flags(layer_flags)


def main():
    if not FLAGS.model_dir:
        raise UserError("--model_dir is missing; expected a folder, such as --model_dir=runs/v2_ft")
    command.print_json(
        supervised.train("finetune", __name__, tune=True, lr_scales=layer_flags.lr_scales())
    )


if __name__ == "__main__":
    pretrained_flags.run_command(main, {"lr": 0.03, "epochs": 100, "schedule": ["60", "80"]})
