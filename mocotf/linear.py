r"""Trains a linear classifier on a frozen encoder: the papers' measure of what it has learned.

    python -m mocotf.linear --flagfile=flags/linear.cfg --pretrained=runs/v2 --model_dir=runs/v2_linear
    python -m mocotf.linear --cache_features --pretrained=runs/v2

With --cache_features every image is encoded once, without crops, and the classifier is solved for: a
number in minutes, but not the papers'.
"""

from mocotf.cli import command  # first: it keeps TensorFlow's start-up notices off the terminal

# isort: split
from mocotf.api import supervised
from mocotf.cli import fit_flags
from mocotf.cli import settings_flags

settings_flags.define(*supervised.LINEAR)


def main():
    command.print_json(supervised.linear(settings_flags.asked()))


if __name__ == "__main__":
    fit_flags.run_command(main, supervised.LINEAR_DEFAULTS)
