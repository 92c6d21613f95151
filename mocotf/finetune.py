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
from mocotf.cli import supervised_flags

flags.adopt_module_key_flags(supervised_flags)
flags.adopt_module_key_flags(layer_flags)


def main():
    lr_scales = layer_flags.lr_scales()
    command.print_json(supervised_flags.train("finetune", __name__, tune=True, lr_scales=lr_scales))


if __name__ == "__main__":
    pretrained_flags.run_command(main, {"lr": 0.03, "epochs": 100, "schedule": ["60", "80"]})
