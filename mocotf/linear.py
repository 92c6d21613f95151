r"""Trains a linear classifier on a frozen encoder: the papers' measure of what it has learned.

    python -m mocotf.linear --flagfile=flags/linear.cfg --pretrained=runs/v2 --model_dir=runs/v2_linear
    python -m mocotf.linear --cache_features --pretrained=runs/v2

With --cache_features all images are encoded once, whole, and the classifier is solved for: a number in
minutes, for itself, not the papers'.
"""

from mocotf.cli import command  # first: it keeps TensorFlow's start-up notices off the terminal

# isort: split
from absl import flags

from mocotf.cli import pretrained_flags
from mocotf.cli import settings_flags
from mocotf.cli import supervised_flags
from mocotf.cli import values
from mocotf.errors import UserError
from mocotf.evaluation import cached
from mocotf.training.host import configure_host
from mocotf.training.settings import DeviceSettings

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(supervised_flags)

flags.DEFINE_list(
    "lr_sweep", None, "Learning rates to try in one run, a classifier each, in place of --lr."
)
flags.DEFINE_bool(
    "cache_features",
    False,
    "Encode every image once, without augmentation, and solve for the classifier.",
)
flags.DEFINE_list(
    "l2",
    ["1e-4", "1e-3", "1e-2", "1e-1"],
    "With --cache_features: weight decay; of several the one that is best on a tenth of the training "
    "images is taken.",
)


def main():
    command.print_json(solve() if FLAGS.cache_features else train())


def train():
    """Returns the results of the papers' protocol."""
    rates = values.numbers("lr_sweep") or ()
    if rates and (min(rates) <= 0 or len(set(rates)) < len(rates)):
        raise UserError(f"--lr_sweep={','.join(FLAGS.lr_sweep)}: expected different rates above 0")
    return supervised_flags.train("linear", __name__, tune=False, rates=rates)


def solve():
    """Returns the results on cached features."""
    strengths = values.numbers("l2")
    if min(strengths) < 0:
        raise UserError(f"--l2={','.join(FLAGS.l2)}: expected numbers from 0")
    configure_host(settings_flags.read(DeviceSettings))
    return cached.solve(supervised_flags.make_task(), strengths)


if __name__ == "__main__":
    protocol = {"lr": 30.0, "weight_decay": 0.0, "epochs": 100, "schedule": ["60", "80"]}
    pretrained_flags.run_command(main, protocol)
