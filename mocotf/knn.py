r"""Measures a pre-trained encoder by weighted k-nearest-neighbour classification.

    python -m mocotf.knn --model_dir=runs/demo
    python -m mocotf.knn --model_dir=runs/v2 --dataset=folder --data_dir=DIR --k=20,200 --t=.07,.1

Nothing is trained: each query gets the class that its neighbours among the training images vote for.
Several k and T take one pass; the first of each gives the number written to the run's evaluation.json,
if all images are used.
"""

from mocotf.cli import command  # first: it keeps TensorFlow's start-up notices off the terminal

# isort: split
from mocotf.api.knn import SETTINGS
from mocotf.api.knn import knn
from mocotf.cli import settings_flags

settings_flags.define(*SETTINGS)


def main():
    command.print_json(knn(settings_flags.asked()))


if __name__ == "__main__":
    settings_flags.require("model_dir", "a run, such as --model_dir=runs/mine")
    command.run(main)
