"""The flags of `mocotf.linear` and `mocotf.finetune`, and the run that they describe."""

import dataclasses

from absl import flags

from mocotf.cli import data_flags
from mocotf.cli import encoder_flags
from mocotf.cli import fit_flags
from mocotf.cli import pretrained_flags
from mocotf.cli import settings_flags
from mocotf.cli import values
from mocotf.data.bad_images import BadImages
from mocotf.data.labelled import LABELS
from mocotf.data.labelled import Labelled
from mocotf.errors import UserError
from mocotf.evaluation import protocol
from mocotf.evaluation.protocol import Task
from mocotf.training.host import configure_host
from mocotf.training.saved import open_run
from mocotf.training.settings import DeviceSettings
from mocotf.training.strategy import make_strategy

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


def make_task(lr=None):
    """Returns the `Task` that the flags describe; `lr` takes the place of --lr."""
    settings = fit_flags.read()
    if lr:
        settings = settings._replace(optimisation=dataclasses.replace(settings.optimisation, lr=lr))
    run = open_run(FLAGS.pretrained)
    source = data_flags.source_of(run)
    return Task(
        run,
        Labelled(source, FLAGS.label_fraction, FLAGS.labels, FLAGS.label_seed),
        BadImages(None, source.size, FLAGS.max_bad_images),
        settings,
        trained=not FLAGS.untrained,
        min_area=FLAGS.train_crop_min,
        ops=FLAGS.host_ops,
        counts=FLAGS.labels == "given",
    )


def train(name, module, *, tune, rates=(), lr_scales=None):
    """Trains by a protocol, resuming what was stopped; returns the results.

    Args:
        name: "linear" or "finetune".
        module: name of the command's module, whose flags are saved.
        tune: train the backbone, too.
        rates: learning rates to sweep over in place of --lr, one linear layer each.
        lr_scales: see `SGD`.

    Raises:
        UserError: it cannot be trained.
    """
    if not FLAGS.model_dir:
        raise UserError(
            f"--model_dir is missing; expected a folder, such as --model_dir=runs/v2_{name}"
        )
    configure_host(settings_flags.read(DeviceSettings))
    strategy = make_strategy(FLAGS.strategy, FLAGS.num_logical_devices)
    lr = rates[0] if rates else FLAGS.lr
    return protocol.train(
        name,
        make_task(lr),
        strategy,
        values.resolved(module, fit_flags.PLACES) | {"lr": str(lr)},
        NEUTRAL,
        heads={f"lr_{rate:g}": rate / lr for rate in rates} or {"fc": 1.0},
        tune=tune,
        lr_scales=lr_scales or {},
        measure_epochs=FLAGS.measure_every,
    )
