r"""Pre-trains an image encoder by Momentum Contrast.

    python -m mocotf.train --flagfile=flags/demo.cfg --model_dir=runs/demo
    python -m mocotf.train --flagfile=flags/v2.cfg --dataset=folder --data_dir=DIR --model_dir=runs/v2

    python -m mocotf.train --dataset=folder --data_dir=DIR --model_dir=runs/mine --minutes=30

The third chooses settings that fit the pictures in DIR. The same command again, or --model_dir alone,
resumes a run that was stopped.
"""

from mocotf.cli import command  # first: it keeps TensorFlow's start-up notices off the terminal

# isort: split
from absl import flags

from mocotf.api.pretrain import SETTINGS
from mocotf.api.pretrain import pretrain
from mocotf.cli import settings_flags

settings_flags.define(*SETTINGS)


def main():
    results = pretrain(settings_flags.asked())
    if results:  # those of the chief
        command.print_json(results)


if __name__ == "__main__":
    flags.register_validator("model_dir", bool, "expected a folder, such as --model_dir=runs/mine")
    command.run(main, resumes=True)
