"""What is to be learned by supervision: its flags, images, labels and encoder."""

import functools

from absl import flags

from mocotf.cli import data_flags
from mocotf.cli import encoder_flags
from mocotf.cli import fit_flags
from mocotf.cli import pretrained_flags
from mocotf.data.bad_images import BadImages
from mocotf.data.labelled import LABELS
from mocotf.data.labelled import Labelled
from mocotf.data.pipeline import centre_views
from mocotf.data.pipeline import random_views
from mocotf.data.recipe import Augmentation
from mocotf.data.source import Order
from mocotf.errors import UserError
from mocotf.training.checkpoints import digest
from mocotf.training.saved import open_run

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(data_flags)
flags.adopt_module_key_flags(encoder_flags)
flags.adopt_module_key_flags(fit_flags)
flags.adopt_module_key_flags(pretrained_flags)

flags.DEFINE_float(
    "label_fraction",
    1.0,
    "Share of the labelled images to train on, as many of each class; the same ones for each run of "
    "the same --label_seed.",
    1e-9,
    1,
)
flags.DEFINE_integer("label_seed", 0, "Of the choice by --label_fraction.", lower_bound=0)
flags.DEFINE_enum(
    "labels",
    "given",
    LABELS,
    "Train on labels that are shuffled, or constant: the result must be that of chance, or something "
    "leaks.",
)
flags.DEFINE_float("train_crop_min", 0.08, "Smallest share of the image's area in a crop.", 1e-4, 1)
flags.DEFINE_integer("measure_every", 1, "Epochs between measurements of accuracy.", lower_bound=1)

# Flags that change what is shown or kept, not what is computed; the encoder is told by its weights.
NEUTRAL = fit_flags.NEUTRAL | {"measure_every", "max_bad_images", "pretrained"}


class Task:
    """What is learned by supervision: images, their labels, and the encoder to begin with.

    Attributes:
        run: the `SavedRun` of the encoder.
        source: the `Source`.
        labelled: the `Labelled`.
        bad_images: a `BadImages`.
    """

    def __init__(self):
        fit_flags.check()
        self.run = open_run(FLAGS.pretrained)
        self.source = data_flags.source_of(self.run)
        self.labelled = Labelled(self.source, FLAGS.label_fraction, FLAGS.labels, FLAGS.label_seed)
        self.bad_images = BadImages(None, self.source.size, FLAGS.max_bad_images)
        if self.labelled.size < FLAGS.batch_size:
            raise UserError(
                f"--batch_size={FLAGS.batch_size}: there are only {self.labelled.size} labelled images "
                f"to train on; expected at least one batch; try --batch_size={self.labelled.size}"
            )

    @property
    def names(self):
        """The names of the classes."""
        return [self.source.class_name(label) for label in range(self.labelled.classes)]

    def encoder(self):
        """Returns the encoder to begin with, in the precision asked for."""
        return self.run.encoder(trained=not FLAGS.untrained, precision=FLAGS.precision)

    def training_views(self, steps_per_epoch, step):
        """Returns the dataset of (x, label): crops of at least --train_crop_min, mirrored or not."""
        view = self.run.view
        augmentation = Augmentation(
            size=view.size,
            mean=view.mean,
            std=view.std,
            min_area=FLAGS.train_crop_min,
            jitter_prob=0.0,
            gray_prob=0.0,
            blur_prob=0.0,
        )
        order = Order(FLAGS.seed, FLAGS.batch_size, steps_per_epoch)
        return random_views(
            self.labelled,
            augmentation,
            order,
            bad_images=self.bad_images,
            first_step=step,
            ops=FLAGS.host_ops,
            labels=True,
            views=1,
        )

    @functools.cached_property
    def query_views(self):
        """The dataset of (x, label) of the images to ask about."""
        return centre_views(
            self.source, self.source.evaluation("queries"), self.run.view, self.bad_images
        )

    def facts(self):
        """Returns what decides the run beside its flags."""
        return {
            "images": self.labelled.size,
            "classes": self.labelled.classes,
            "encoder": digest(self.run.checkpoint),
        }
