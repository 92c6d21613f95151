r"""Fine-tunes a whole encoder, batch norm included, with a new classifier on top.

    python -m mocotf.finetune --flagfile=flags/finetune.cfg --pretrained=runs/v2 --model_dir=runs/v2_ft
    python -m mocotf.finetune --label_fraction=.1 --pretrained=runs/v2 --model_dir=runs/v2_ft10

From scratch, with the same labels and steps: --untrained.
"""

from mocotf.cli import command  # first: it keeps TensorFlow's start-up notices off the terminal

# isort: split
from mocotf.cli import data_flags
from mocotf.cli import fit_flags
from mocotf.cli import settings_flags
from mocotf.cli import supervised_flags
from mocotf.evaluation import protocol
from mocotf.optim.settings import LayerRateSettings

settings_flags.define(LayerRateSettings)
settings_flags.adopt(data_flags, supervised_flags, fit_flags)


def main():
    own = settings_flags.read(LayerRateSettings)
    task = supervised_flags.make_task(own, "runs/v2_ft")
    command.print_json(protocol.train("finetune", task, tune=True, lr_scales=own.factors))


if __name__ == "__main__":
    fit_flags.run_command(main, {"lr": 0.03, "epochs": 100, "schedule": (60.0, 80.0)})
