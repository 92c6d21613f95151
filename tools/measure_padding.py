"""Measures what Model Garden's padding costs: its ResNets shift every strided window by a pixel.

    python tools/measure_padding.py --flagfile=runs/demo/flags.cfg --model_dir=runs/demo

Takes the flags of `python -m mocotf.train`, of which flags.cfg has the run's; the data needs labels.
The same weights are evaluated under both paddings, without training on.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from mocotf.cli import command  # isort: skip  (first: it keeps TensorFlow's notices off the terminal)

import numpy as np
from absl import flags

from mocotf.cli import train_flags
from mocotf.data.bad_images import BadImages
from mocotf.data.pretraining import centre_views
from mocotf.data.sources.open import open_source
from mocotf.errors import UserError
from mocotf.evaluation.features import extract
from mocotf.evaluation.knn import knn_top1
from mocotf.interop.model_garden import same_padding
from mocotf.moco.saved_run import open_run

FLAGS = flags.FLAGS


def main():
    settings = train_flags.read()
    saved = open_run(FLAGS.model_dir)
    source = open_source(settings.data)
    if not all(source.evaluation_sizes):
        raise UserError(f"--dataset={FLAGS.dataset}: has no labels; expected classes to tell apart")
    backbone = saved.encoder(precision="float32").backbone
    features, labels = {}, {}
    for name, network in (("ours", backbone), ("same", same_padding(backbone))):
        for split in ("bank", "queries"):
            views = centre_views(source, source.evaluation(split), saved.view, BadImages())
            features[name, split], labels[split] = extract(network, views)
    vote = {"k": FLAGS.knn_k, "T": FLAGS.knn_t}
    results = {
        f"knn_top1_{name}": knn_top1(
            features[name, "bank"], labels["bank"], features[name, "queries"], labels["queries"], **vote
        )
        for name in ("ours", "same")
    }
    pairs = [features[name, "queries"] for name in ("ours", "same")]
    units = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in pairs]
    results["mean_cosine"] = float(np.mean(np.sum(units[0] * units[1], axis=1)))
    print(
        f"kNN top-1: {results['knn_top1_ours']:.1f} under the padding it was trained with, "
        f"{results['knn_top1_same']:.1f} under SAME; cosine of an image's two features: "
        f"{results['mean_cosine']:.3f}"
    )
    command.print_json(results)


if __name__ == "__main__":
    flags.adopt_module_key_flags(train_flags)
    command.run(main)
