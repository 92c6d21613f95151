r"""Measures a pre-trained encoder by weighted k-nearest-neighbour classification.

    python -m mocotf.knn --model_dir=runs/demo
    python -m mocotf.knn --model_dir=runs/v2 --dataset=folder --data_dir=DIR --k=20,200 --t=.07,.1

Nothing is trained: each query is given the class that its neighbours among the training images vote
for. Several k and T cost one pass; the first of each gives the number that is entered into the run's
evaluation.json, where all images are used.
"""

from mocotf.cli import command  # first: it keeps TensorFlow's start-up notices off the terminal

# isort: split
import time

import tensorflow as tf
from absl import flags

from mocotf.cli import data_flags
from mocotf.cli import encoder_flags
from mocotf.cli import run_flags
from mocotf.cli import values
from mocotf.data.bad_images import BadImages
from mocotf.data.labelled import check_classes
from mocotf.data.labelled import check_labelled
from mocotf.errors import UserError
from mocotf.evaluation.evaluation_json import add_to_evaluation
from mocotf.evaluation.monitor import encoder_function
from mocotf.evaluation.splits import KNNSplits
from mocotf.training.host import configure_host
from mocotf.training.saved import open_run

FLAGS = flags.FLAGS
flags.DEFINE_list("k", None, "Numbers of neighbours that vote. Default: the run's --knn_k.")
flags.DEFINE_list("t", None, "Temperatures of the vote. Default: the run's --knn_t.")
flags.DEFINE_enum(
    "features",
    None,
    ["pooled", "embedding"],
    "What is compared: backbone features, or the head's output. Default: the run's --knn_features.",
)
flags.DEFINE_integer(
    "max_images",
    None,
    "At most so many images to compare with, and so many queries, evenly picked. Default: all.",
    lower_bound=1,
)


def main():
    configure_host()
    run = open_run(FLAGS.model_dir)
    ks, Ts = neighbours(run), temperatures(run)
    network = FLAGS.features or run.flags["knn_features"]
    source = data_flags.source_of(run)
    check_labelled(source)
    bad_images = BadImages(None, sum(source.evaluation_sizes), FLAGS.max_bad_images)
    splits = KNNSplits(source, run.view, bad_images, (FLAGS.max_images, FLAGS.max_images))
    check_bank(splits.sizes[0], ks)
    encode = encoder_function(run.encoder(trained=not FLAGS.untrained), network)
    # An accelerator's products of 10-bit mantissas would mistake the order of neighbours.
    tf.config.experimental.enable_tensor_float_32_execution(False)

    start = time.perf_counter()
    with bad_images.explained():
        nearest, queries, labels = splits.search(encode, max(ks))
    seconds = time.perf_counter() - start
    check_classes(nearest.classes, labels, source)

    top1 = {T: {k: nearest.top1(labels, k=k, T=T) for k in ks} for T in Ts}
    found = {
        "checkpoint": run.checkpoint,
        "step": 0 if FLAGS.untrained else run.step,
        "features": network,
        "width": queries.shape[1],
        "bank": nearest.size,
        "queries": len(queries),
        "classes": len(nearest.classes),
        "bad_images": len(bad_images.names),
        "seconds": round(seconds, 1),
        "knn_top1": top1[Ts[0]][ks[0]],
        "votes": [{"k": k, "T": T, "top1": top1[T][k]} for T in Ts for k in ks],
    }
    show(found, top1)
    if not FLAGS.max_images:
        add_to_evaluation(run, {"knn_top1": found["knn_top1"]}, trained=not FLAGS.untrained)
    command.print_json(found)


def neighbours(run):
    """Returns the numbers of neighbours that were asked for, each once."""
    given = values.numbers("k") or [int(run.flags["knn_k"])]
    if any(k < 1 or k != int(k) for k in given):
        raise UserError(f"--k={','.join(FLAGS.k)}: expected whole numbers from 1")
    return list(dict.fromkeys(int(k) for k in given))


def temperatures(run):
    """Returns the temperatures that were asked for, each once."""
    given = values.numbers("t") or [float(run.flags["knn_t"])]
    if min(given) <= 0:
        raise UserError(f"--t={','.join(FLAGS.t)}: expected temperatures above 0")
    return list(dict.fromkeys(given))


def check_bank(size, ks):
    """Holds the numbers of neighbours against the images that there are."""
    if too_large := [str(k) for k in ks if k > size]:
        raise UserError(
            f"--k={','.join(too_large)}: there are only {size} images to compare with; expected at "
            f"most as many neighbours; try --k={max(1, min(20, size // 10))}"
        )


def show(found, top1):
    """Prints the numbers, a row each temperature and a column each k."""
    what = "untrained" if FLAGS.untrained else f"step {found['step']}"
    print(f"{found['checkpoint']}, {what}: {found['features']} features of width {found['width']}")
    sizes = "{bank:,} images of {classes} classes, {queries:,} queries, {seconds} s".format(**found)
    print(sizes + (f"; {found['bad_images']} did not decode" if found["bad_images"] else ""))
    ks = [vote["k"] for vote in found["votes"][: len(found["votes"]) // len(top1)]]
    print(f"\n{'kNN top-1, %':<14}" + "".join(f"{f'k={k}':>9}" for k in ks))
    for T, row in top1.items():
        print(f"{f'  T={T:g}':<14}" + "".join(f"{row[k]:9.2f}" for k in ks), flush=True)


if __name__ == "__main__":
    flags.adopt_module_key_flags(data_flags)
    flags.adopt_module_key_flags(run_flags)
    flags.adopt_module_key_flags(encoder_flags)
    flags.register_validator("model_dir", bool, "expected a run, such as --model_dir=runs/mine")
    command.run(main)
