"""A run that has an encoder, opened for reading: what it was told to do, and the encoder."""

import dataclasses
import os
import re

import keras

from mocotf.data.settings import DataSettings
from mocotf.errors import UserError
from mocotf.moco.config import Config
from mocotf.nn.model_copies import dtype_policy
from mocotf.training.checkpoints import newest_in
from mocotf.training.flags_file import FLAGS_FILE
from mocotf.training.flags_file import is_run
from mocotf.training.flags_file import read_flags
from mocotf.training.weights import load_backbone
from mocotf.training.weights import load_encoder

_NEEDED = ("arch", "width", "moco_dim", "image_size", "mean", "std", "momentum", "weight_decay", "seed")
SUPERVISED = "label_fraction"  # a flag that supervised runs have, and no others
READING = "upright", "max_pixels"  # flags that say how image files are read


@dataclasses.dataclass(frozen=True)
class SavedRun:
    """A run directory and one of its checkpoints; `open_run` makes it.

    Attributes:
        path: of the run directory.
        checkpoint: path of the checkpoint, ends in ckpt-STEP.
        flags: name → text of every flag of `mocotf.train`, as flags.cfg has them.
        base: of a run of `mocotf.finetune` or `mocotf.linear`, the `SavedRun` that it began with, whose
            flags these are, but for `READING`; None of a pre-training run.
    """

    path: str
    checkpoint: str
    flags: dict[str, str]
    base: "SavedRun | None" = None

    @property
    def step(self):
        """Optimizer steps that the checkpoint's encoder has been trained for."""
        return int(self.checkpoint.rpartition("-")[2])

    @property
    def upright(self):
        """Whether the images that the encoder has learned from were turned as their EXIF says."""
        return DataSettings.of(self.flags).upright

    @property
    def max_pixels(self):
        """Pixels that the images that the encoder has learned from could have."""
        return DataSettings.of(self.flags).max_pixels

    @property
    def config(self):
        """The model's `Config`."""
        return Config.of(self.flags, given=())

    @property
    def view(self):
        """The `Augmentation` that has the size, mean and std of the images that the encoder takes."""
        return self.config.view

    def encoder(self, *, trained=True, precision=None):
        """Returns the query encoder, an `Encoder` that normalises a whole batch in training; of a
        fine-tuned run with the head that pre-training left.

        Args:
            trained: load its weights; else it is as the run began, before the first step.
            precision: Keras dtype policy; None for the run's own.

        Raises:
            UserError: the checkpoint cannot be read, or is of another architecture.
        """
        if self.base:
            encoder = self.base.encoder(trained=trained, precision=precision)
            if trained:
                load_backbone(encoder.backbone, self.checkpoint)
            return encoder
        config = self.config
        config = dataclasses.replace(config, encoder=dataclasses.replace(config.encoder, bn_splits=1))
        with dtype_policy(precision or self.flags["precision"]):
            if not trained:
                keras.utils.set_random_seed(config.seed)
            encoder = config.build_encoder("query_encoder")
        if trained:
            load_encoder(encoder, self.checkpoint)
        return encoder


def open_run(path):
    """Returns the `SavedRun` at a path: a run directory of `mocotf.train`, `finetune` or `linear`, of
    which the newest checkpoint is taken, or a checkpoint in one, as runs/v2/checkpoints/best/ckpt-STEP.

    Raises:
        UserError: there is no run, it is of another command, or it has no checkpoint.
    """
    run = path = os.path.expanduser(path)
    while not is_run(run):
        run, last = os.path.dirname(run), run
        if run == last or os.path.isdir(path):
            raise UserError(
                f"{path}: no {FLAGS_FILE}; expected the --model_dir of a run, or a checkpoint in one, "
                "checkpoints/ckpt-STEP"
            )
    if run == path:
        path = newest_in(run)
    elif not (os.path.exists(f"{path}.index") and re.search(r"-\d+$", path)):
        raise UserError(
            f"{path}: no such checkpoint; expected one, ckpt-STEP, that {path}.index belongs to"
        )
    flags = read_flags(os.path.join(run, FLAGS_FILE))
    if SUPERVISED in flags:
        base = _base_of(run, flags["pretrained"])
        own = {name: flags[name] for name in READING if name in flags}
        return SavedRun(run or ".", path, base.flags | own, base)
    if lacking := [name for name in _NEEDED if name not in flags]:
        raise UserError(
            f"{run}: its {FLAGS_FILE} has no --{lacking[0]}, so it is no run of mocotf.train, finetune "
            "or linear; expected the --model_dir of one"
        )
    return SavedRun(run or ".", path, flags)


def _base_of(run, pretrained):
    """Returns the `SavedRun` that a run of `mocotf.finetune` or `linear` began with."""
    if os.path.realpath(os.path.expanduser(pretrained)) == os.path.realpath(run):
        raise UserError(
            f"{run}: its --pretrained={pretrained} is where it is itself; expected the run that it "
            "began with; put that back in its place"
        )
    return open_run(pretrained)
