r"""Trains a linear classifier on a frozen encoder: the papers' measure of what it has learned.

    python -m mocotf.linear --flagfile=flags/linear.cfg --pretrained=runs/v2 --model_dir=runs/v2_linear
    python -m mocotf.linear --cache_features --pretrained=runs/v2

With --cache_features all images are encoded once, whole, and the classifier is solved for: a number in
minutes, for itself, not the papers'.
"""

from mocotf.cli import command  # first: it keeps TensorFlow's start-up notices off the terminal

# isort: split
from mocotf.cli import data_flags
from mocotf.cli import fit_flags
from mocotf.cli import settings_flags
from mocotf.cli import supervised_flags
from mocotf.errors import UserError
from mocotf.evaluation import cached
from mocotf.evaluation import protocol
from mocotf.evaluation.settings import LinearSettings

settings_flags.define(LinearSettings)
settings_flags.adopt(data_flags, supervised_flags, fit_flags)


def main():
    own = settings_flags.read(LinearSettings)
    command.print_json((solve if own.cache_features else train)(own))


def solve(own):
    """Returns the results on cached features."""
    return cached.solve(supervised_flags.make_task(own), own.l2)


def train(own):
    """Returns the results of the papers' protocol."""
    rates = own.lr_sweep or ()
    if len(set(rates)) < len(rates):
        raise UserError(f"--lr_sweep={','.join(map(str, rates))}: expected different rates")
    task = supervised_flags.make_task(own, "runs/v2_linear")
    if rates:
        task = task.with_rate(rates[0])
    return protocol.train("linear", task, tune=False, rates=rates)


if __name__ == "__main__":
    published = {"lr": 30.0, "weight_decay": 0.0, "epochs": 100, "schedule": (60.0, 80.0)}
    fit_flags.run_command(main, published)
