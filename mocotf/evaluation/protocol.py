"""The protocols by which the papers say what an encoder has learned: linear, and fine-tuning."""

import dataclasses
import functools
import hashlib
import math

import keras
import tensorflow as tf

from mocotf import terminal
from mocotf.data.bad_images import BadImages
from mocotf.data.pretraining import centre_views
from mocotf.data.pretraining import random_views
from mocotf.data.settings import VerifySettings
from mocotf.data.sources.base import Order
from mocotf.data.supervised import Labelled
from mocotf.evaluation.classifier import Classifier
from mocotf.evaluation.evaluation_json import add_to_evaluation
from mocotf.evaluation.features import extract
from mocotf.evaluation.head import CLASSES_FILE
from mocotf.evaluation.head import ONE
from mocotf.evaluation.measures import MEASURES
from mocotf.evaluation.scores import Scores
from mocotf.evaluation.settings import ProtocolSettings
from mocotf.json_files import write_json
from mocotf.moco.saved_run import SavedRun
from mocotf.settings import texts_of
from mocotf.settings import with_values
from mocotf.tables import counted
from mocotf.training.checkpoints import Checkpoints
from mocotf.training.checkpoints import digest
from mocotf.training.fit import compile_trainer
from mocotf.training.image_facts import ImageFacts
from mocotf.training.progress import Course
from mocotf.training.progress import Every
from mocotf.training.run import Run
from mocotf.training.run_dir import RunDir
from mocotf.training.settings import TrainingSettings
from mocotf.training.strategy import check_divides
from mocotf.training.strategy import make_strategy
from mocotf.training.tracker import connect


@dataclasses.dataclass(frozen=True)
class Task:
    """What is learned by supervision: images, their labels, and the encoder to begin with.

    Attributes:
        run: the `SavedRun` of the encoder.
        labelled: the `Labelled`.
        bad_images: a `BadImages`.
        settings: `TrainingSettings`.
        protocol: `ProtocolSettings`.
        verify: `VerifySettings`.
        ops: see `random_views`.
        trained: begin with the encoder as it is, else as it was before its run's first step.
        saved: all `Settings` of the run.
    """

    run: SavedRun
    labelled: Labelled
    bad_images: BadImages
    settings: TrainingSettings
    protocol: ProtocolSettings
    verify: VerifySettings
    ops: str
    trained: bool
    saved: tuple

    def with_rate(self, lr):
        """Returns the task with another learning rate."""
        optimisation = dataclasses.replace(self.settings.optimisation, lr=lr)
        settings = self.settings._replace(optimisation=optimisation)
        return dataclasses.replace(self, settings=settings, saved=with_values(self.saved, {"lr": lr}))

    @property
    def names(self):
        """The names of the classes."""
        return [self.labelled.source.class_name(label) for label in range(self.labelled.classes)]

    def encoder(self):
        """Returns the encoder to begin with."""
        return self.run.encoder(trained=self.trained, precision=self.settings.devices.precision)

    def training_views(self, course, step):
        """Returns the dataset of (x, label) from a step of a `Course` on: crops, mirrored or not."""
        view = self.run.view
        no_colours = {"jitter_prob": 0.0, "gray_prob": 0.0, "blur_prob": 0.0}
        return random_views(
            self.labelled,
            dataclasses.replace(view, min_area=self.protocol.train_crop_min, **no_colours),
            Order(self.settings.run.seed, course.batch_size, course.steps_per_epoch),
            bad_images=self.bad_images,
            first_step=step,
            ops=self.ops,
            labels=True,
            views=1,
        )

    @functools.cached_property
    def query_views(self):
        """The dataset of (x, label) of the images to ask about."""
        source = self.labelled.source
        return centre_views(source, source.evaluation("queries"), self.run.view, self.bad_images)

    def facts(self):
        """Returns what decides a run beside its settings and its images."""
        return {"classes": self.labelled.classes, "encoder": digest(self.run.checkpoint)}

    def announce(self, name, scores, table):
        """Writes the table of a protocol's `Scores`, prints them, and enters the top-1."""
        scores.write(table, self.names)
        encoder = self.run.path + (f" at step {self.run.step}" if self.trained else ", untrained")
        print(f"\n{name}: top-1 {scores.top1:.2f} %, top-5 {scores.top5:.2f} %, of {encoder}")
        lowest = (f"{self.names[c]} {top1:.1f}" for c, top1 in scores.lowest(5).items())
        print("lowest: " + ", ".join(lowest))
        print(f"class by class: {table}")
        if self.bad_images.names:
            print(f"{counted(len(self.bad_images.names), 'image')} did not decode")
        if self.protocol.labels == "given":
            add_to_evaluation(self.run, {f"{name}_top1": scores.top1}, trained=self.trained)


def train(name, task, *, tune, rates=(), lr_scales=None):
    """Trains a `Classifier`, resuming what was stopped; returns its results.

    Args:
        name: of the protocol: "linear" or "finetune".
        task: a `Task`.
        tune: train the backbone, too.
        rates: learning rates to sweep over, one linear layer each, in place of that of the settings.
        lr_scales: see `SGD`.

    Raises:
        UserError: it cannot be trained.
    """
    with connect(task.settings.run.tracker) as tracker:
        results = _train(name, task, tune, rates, lr_scales, tracker)
        tracker.summarise(results)
    return results


def _train(name, task, tune, rates, lr_scales, tracker):
    classes, settings = task.labelled.classes, task.settings
    lr = settings.optimisation.lr
    heads = {f"lr_{rate:g}": rate / lr for rate in rates} or {ONE: 1.0}
    strategy = make_strategy(settings.devices.strategy, settings.devices.num_logical_devices)
    check_divides(settings.optimisation.batch_size, strategy.num_replicas_in_sync)
    steps_per_epoch = settings.optimisation.steps_per_epoch(task.labelled.size, "labelled images")
    course = Course.of(
        settings,
        steps_per_epoch,
        measure=Every(task.protocol.measure_every * steps_per_epoch),
        chance=math.log(classes),
    )
    facts = task.facts() | {"replicas": strategy.num_replicas_in_sync}
    images = ImageFacts(task.labelled.source, task.verify, task.labelled.size)
    run_dir = RunDir(settings.run.model_dir, task.saved, facts, images)
    write_json(run_dir.file(CLASSES_FILE), {"classes": task.names})

    # ---- Model
    seed = settings.run.seed
    keras.utils.set_random_seed(seed)
    with strategy.scope():
        backbone = task.encoder().backbone
        before = {} if tune else fingerprints(backbone)
        model = Classifier(backbone, classes, heads=list(heads), tune=tune, seed=seed)
        compile_trainer(model, settings, course.schedule, heads | (lr_scales or {}))

    # ---- Run
    @tf.function(reduce_retracing=True, autograph=False)
    def classify(images):
        return model(images, training=False)

    def score():
        with terminal.phase("measuring", task.labelled.source.evaluation_sizes[1]):
            found, labels = extract(classify, task.query_views)
        found = found.reshape(len(labels), len(heads), classes)
        return {head: Scores.of(found[:, i], labels) for i, head in enumerate(heads)}

    def measure(step):
        del step
        found = {head: scores.top1 for head, scores in score().items()}
        return {"top1": max(found.values())} | (found if len(found) > 1 else {})

    Run(
        model,
        course,
        functools.partial(task.training_views, course),
        task.bad_images,
        Checkpoints(run_dir.file("checkpoints"), model, course.keep),
        run_dir,
        measure=measure,
        measures=MEASURES,
        accuracy="top1",
        settings=texts_of(task.saved),
        about=f"{name}, {task.run.config.encoder.name}",
        tracker=tracker,
    ).train()

    # ---- Results
    scores = score()
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
    if not tune:
        check_unchanged(backbone, before)
        results["encoder_unchanged"] = True
    task.announce(name, last, run_dir.file("confusion.csv"))
    write_json(run_dir.file("results.json"), results)
    return results


def fingerprints(backbone):
    """Returns path → SHA-256 of the variables of a backbone."""
    return {v.path: hashlib.sha256(v.numpy().tobytes()).hexdigest() for v in backbone.variables}


def check_unchanged(backbone, before):
    """Checks a frozen backbone against the `fingerprints` that it was loaded with.

    Raises:
        RuntimeError: it has changed: a fault of ours.
    """
    now = fingerprints(backbone)
    changed = [path for path in before if now[path] != before[path]]
    if changed:
        raise RuntimeError(f"the frozen encoder has changed: {', '.join(changed[:3])}")
