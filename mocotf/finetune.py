r"""Fine-tunes a whole encoder, batch norm included, with a new classifier on top.

    python -m mocotf.finetune --flagfile=flags/finetune.cfg --pretrained=runs/v2 --model_dir=runs/v2_ft
    python -m mocotf.finetune --label_fraction=.1 --pretrained=runs/v2 --model_dir=runs/v2_ft10

--untrained starts from scratch, with the same labels and steps.
"""

from mocotf.cli import command  # first: it keeps TensorFlow's start-up notices off the terminal

# isort: split
from mocotf.api import supervised
from mocotf.cli import fit_flags
from mocotf.cli import settings_flags

settings_flags.define(*supervised.FINETUNE)


def main():
    command.print_json(supervised.finetune(settings_flags.asked()))


if __name__ == "__main__":
    fit_flags.run_command(main, supervised.FINETUNE_DEFAULTS)
