"""A supervised run: what `mocotf.linear` and `mocotf.finetune` share."""

import json
import math

import keras
import numpy as np
import tensorflow as tf
from absl import flags

from mocotf.cli import fit_flags
from mocotf.cli import fit_run
from mocotf.cli import values
from mocotf.cli.task import NEUTRAL
from mocotf.cli.task import Task
from mocotf.evaluation import ledger
from mocotf.evaluation.classifier import Classifier
from mocotf.evaluation.features import extract
from mocotf.evaluation.scores import Scores
from mocotf.training.host import configure_host
from mocotf.training.run_dir import RunDir
from mocotf.training.run_dir import write_whole
from mocotf.training.strategy import make_strategy

FLAGS = flags.FLAGS


def train(name, module, *, tune, rates=None, lr_scales=None):
    """Trains a `Classifier`, resuming what was stopped; returns its results.

    Args:
        name: of the protocol: "linear" or "finetune".
        module: name of the command's module, whose flags are saved.
        tune: train the backbone, too.
        rates: learning rates to sweep over, of which --lr is the first; one linear layer each.
        lr_scales: see `SGD`.
    """
    configure_host(**fit_flags.host_options())
    strategy = make_strategy(FLAGS.strategy, FLAGS.num_logical_devices)
    task = Task()
    steps_per_epoch = task.labelled.size // FLAGS.batch_size
    total_steps = FLAGS.steps or FLAGS.epochs * steps_per_epoch
    heads = {f"lr_{rate:g}": rate / FLAGS.lr for rate in rates} if rates else {"fc": 1.0}
    resolved = values.resolved(module, fit_flags.PLACES)
    run_dir = RunDir(
        FLAGS.model_dir,
        resolved,
        task.facts() | {"replicas": strategy.num_replicas_in_sync},
        NEUTRAL,
    )

    # ---- Model
    keras.utils.set_random_seed(FLAGS.seed)
    schedule = fit_flags.make_schedule(steps_per_epoch)
    with strategy.scope():
        encoder = task.encoder()
        model = Classifier(
            encoder.backbone, task.labelled.classes, heads=list(heads), tune=tune, seed=FLAGS.seed
        )
        fit_run.compile_with_sgd(model, schedule, heads | (lr_scales or {}))

    # ---- Train
    @tf.function(reduce_retracing=True, autograph=False)
    def classify(images):
        return model(images, training=False)

    def measure(step):
        del step
        found = {head: s.top1 for head, s in score(model, classify, task).items()}
        return {"top1": max(found.values())} | (found if len(found) > 1 else {})

    fit_run.train(
        model,
        run_dir,
        resolved,
        lambda step: task.training_views(steps_per_epoch, step),
        measure,
        bad_images=task.bad_images,
        accuracy="top1",
        schedule=schedule,
        total_steps=total_steps,
        steps_per_epoch=steps_per_epoch,
        measure_every=FLAGS.measure_every,
        chance=math.log(task.labelled.classes),
    )
    return finish(name, task, model, classify, run_dir)


def score(model, classify, task):
    """Returns head → `Scores` of a `Classifier`, compiled as `classify`, on the images to ask about."""
    found, labels = extract(classify, task.query_views)
    found = found.reshape(len(labels), len(model.heads), -1)
    return {head.name: Scores.of(found[:, i], labels) for i, head in enumerate(model.heads)}


def finish(name, task, model, classify, run_dir):
    """Writes results.json and confusion.csv, and prints what was found; returns the results."""
    scores = score(model, classify, task)
    head, last = max(scores.items(), key=lambda item: item[1].top1)
    measured = [record["top1"] for record in run_dir.metrics() if "top1" in record]
    results = {
        f"{name}_top1": last.top1,
        f"{name}_top5": last.top5,
        f"{name}_best_top1": max([*measured, last.top1]),
        "images": task.labelled.size,
        "steps": model.step,
    }
    if len(scores) > 1:
        results |= {"head": head} | {f"top1_{n}": s.top1 for n, s in scores.items()}
    if not model.tune:
        check_unchanged(model.backbone, task)
        results["encoder_unchanged"] = True
    last.write(run_dir.file("confusion.csv"), task.names)
    write_whole(run_dir.file("results.json"), json.dumps(results, indent=2) + "\n")
    announce(name, task, last, run_dir.file("confusion.csv"))
    return results


def announce(name, task, scores, table):
    """Prints accuracies, enters the top-1 into the pre-training run's evaluation.json."""
    print(f"\n{name}: top-1 {scores.top1:.2f} %, top-5 {scores.top5:.2f} %, of {task.run.path}", end="")
    print(", untrained" if FLAGS.untrained else f" at step {task.run.step}")
    of_classes = scores.of_classes()
    order = np.argsort(np.where(np.isnan(of_classes), np.inf, of_classes))[:5]
    print("lowest: " + ", ".join(f"{task.names[c]} {of_classes[c]:.1f}" for c in order))
    print(f"class by class: {table}")
    if task.bad_images.names:
        print(f"{len(task.bad_images.names)} images did not decode")
    if FLAGS.labels == "given":
        ledger.enter(task.run, {f"{name}_top1": scores.top1}, trained=not FLAGS.untrained)


def check_unchanged(backbone, task):
    """Holds a frozen backbone against what it was loaded from, bit for bit.

    Raises:
        RuntimeError: it has changed: a fault of ours.
    """
    before = task.encoder().backbone
    changed = [
        v.path
        for v, w in zip(backbone.variables, before.variables, strict=True)
        if not np.array_equal(v.numpy(), w.numpy())
    ]
    if changed:
        raise RuntimeError(f"the frozen encoder has changed: {', '.join(changed[:3])}")
