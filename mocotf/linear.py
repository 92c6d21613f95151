r"""Trains a linear classifier on a frozen encoder: the papers' measure of what it has learned.

    python -m mocotf.linear --flagfile=flags/linear.cfg --pretrained=runs/v2 --model_dir=runs/v2_linear
    python -m mocotf.linear --cache_features --pretrained=runs/v2

With --cache_features all images are encoded once, whole, and the classifier is solved for: a number in
minutes, for itself, not the papers'.
"""

from mocotf.cli import command  # first: it keeps TensorFlow's start-up notices off the terminal

# isort: split
import tensorflow as tf
from absl import flags

from mocotf.cli import fit_flags
from mocotf.cli import pretrained_flags
from mocotf.cli import supervised
from mocotf.cli import task as tasks
from mocotf.cli import values
from mocotf.data.pipeline import centre_views
from mocotf.errors import UserError
from mocotf.evaluation.features import extract
from mocotf.evaluation.monitor import encoder_function
from mocotf.evaluation.scores import Scores
from mocotf.evaluation.softmax import SoftmaxRegression
from mocotf.training.host import configure_host

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(tasks)
HELD_OUT = 10  # one image of so many chooses --l2

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
    results = solve() if FLAGS.cache_features else train()
    command.print_json(results)


def train():
    """Returns the results of the papers' protocol."""
    if not FLAGS.model_dir:
        raise UserError("--model_dir is missing; expected a folder, such as --model_dir=runs/v2_linear")
    rates = values.numbers("lr_sweep")
    if rates:
        if min(rates) <= 0 or len(set(rates)) < len(rates):
            raise UserError(f"--lr_sweep={','.join(FLAGS.lr_sweep)}: expected different rates above 0")
        FLAGS.lr = rates[0]
    return supervised.train("linear", __name__, tune=False, rates=rates)


def solve():
    """Returns the results on cached features."""
    strengths = values.numbers("l2")
    if min(strengths) < 0:
        raise UserError(f"--l2={','.join(FLAGS.l2)}: expected numbers from 0")
    configure_host(**fit_flags.host_options())
    task = tasks.Task()
    encode = encoder_function(task.encoder(), "pooled")
    views = centre_views(task.source, task.labelled.examples(), task.run.view, task.bad_images)
    with task.bad_images.explained():
        features, labels = extract(encode, views)
        queries, answers = extract(encode, task.query_views)
    l2 = strengths[0] if len(strengths) == 1 else choose(features, labels, task, strengths)
    solved = SoftmaxRegression(features, labels, task.labelled.classes, l2)
    scores = Scores.of(solved.scores(queries), answers)
    table = f"{task.run.path}/linear_cached.csv"
    scores.write(table, task.names)
    supervised.announce("linear_cached", task, scores, table)
    return {
        "linear_cached_top1": scores.top1,
        "linear_cached_top5": scores.top5,
        "images": len(labels),
        "l2": l2,
        "converged": solved.converged,
    }


def choose(features, labels, task, strengths):
    """Returns the strength that is best on held-out training images."""
    asked = tf.range(len(labels)).numpy() % HELD_OUT == 0

    def top1(l2):
        solved = SoftmaxRegression(features[~asked], labels[~asked], task.labelled.classes, l2)
        return Scores.of(solved.scores(features[asked]), labels[asked]).top1

    found = {l2: top1(l2) for l2 in strengths}
    print("held-out top-1: " + ", ".join(f"l2 {l2:g} {value:.2f}" for l2, value in found.items()))
    return max(found, key=found.get)


if __name__ == "__main__":
    pretrained_flags.run_command(
        main,
        {
            "lr": 30.0,
            "weight_decay": 0.0,
            "epochs": 100,
            "schedule": ["60", "80"],
        },
    )
