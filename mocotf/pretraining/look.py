"""A quick look at data and device: what settings are chosen by."""

import dataclasses
import os

import numpy as np
import tensorflow as tf

from mocotf.data.pretraining import decoded_image
from mocotf.errors import UserError
from mocotf.nn.xla import device_types
from mocotf.tables import counted

SAMPLE = 256  # pictures that are looked at


@dataclasses.dataclass(frozen=True)
class Facts:
    """What settings are chosen by.

    Attributes:
        pictures: in the data set.
        side: median of the shorter sides of the pictures looked at, pixels.
        classes: that pictures are known to be of; 0 where they have no labels.
        gray: whether no picture looked at has colours.
        replicas: devices that share a batch.
        accelerator: whether they are GPUs or TPU cores.
    """

    pictures: int
    side: int
    classes: int
    gray: bool
    replicas: int
    accelerator: bool

    def __str__(self):
        kind = "gray pictures" if self.gray else "pictures"
        classes = f" of {counted(self.classes, 'class')}" if self.classes else ""
        device = "accelerator" if self.accelerator else "CPU device"
        devices = f"{self.replicas} {device}s" if self.replicas > 1 else f"one {device}"
        n = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        cores = counted(n, "core")
        return f"{self.pictures:,} {kind}{classes}, about {self.side} pixels, {devices}, {cores}"


def look(source, strategy):
    """Returns the `Facts` of a `Source` and a `tf.distribute` strategy.

    Raises:
        UserError: none of the pictures looked at decodes, all are the same, or each is of one colour:
            there is nothing to tell apart.
    """
    handles = source.sample(min(SAMPLE, source.size))
    images = handles.map(
        lambda handle: decoded_image(source, handle), num_parallel_calls=tf.data.AUTOTUNE
    )
    images = list(images.ignore_errors().as_numpy_iterator())
    _check(source, images)
    return Facts(
        pictures=source.size,
        side=int(np.median([min(image.shape[:2]) for image in images])),
        classes=len(source.class_names),
        gray=all((image == image[..., :1]).all() for image in images),
        replicas=strategy.num_replicas_in_sync,
        accelerator=set(device_types(strategy)) != {"CPU"},
    )


def _check(source, images):
    what = f"{len(images)} of the {source.size} pictures of --dataset={source.name} were looked at"
    if not images:
        raise UserError(
            f"{source.name}: none of the pictures looked at decodes; expected images; try python "
            "-m mocotf.check_data, which says what is wrong with each"
        )
    if all((image == image[0, 0]).all() for image in images):
        raise UserError(
            f"{what}: each is of one colour only; expected pictures that show something, for there is "
            "nothing to tell them apart by"
        )
    if len(images) > 1 and len({image.tobytes() for image in images}) == 1:
        raise UserError(
            f"{what}: all are the same picture; expected different ones; try "
            "python -m mocotf.check_data, which finds duplicates"
        )
