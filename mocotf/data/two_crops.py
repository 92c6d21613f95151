"""Two random crops of each image of a folder, for `fit` of Python code."""

import tensorflow as tf

from mocotf.data.bad_images import BadImages
from mocotf.data.pretraining import random_views
from mocotf.data.settings import DataSettings
from mocotf.data.settings import PairSettings
from mocotf.data.settings import ViewSettings
from mocotf.data.sources.base import Order
from mocotf.data.sources.open import open_source
from mocotf.errors import UserError
from mocotf.files import PathLike
from mocotf.files import path_of
from mocotf.settings import settings_of


def two_crops(
    data_dir: PathLike,
    batch_size: int = 256,
    image_size: int = 224,
    *,
    aug_plus: bool = True,
    seed: int = 0,
    first_epoch: int = 0,
    **settings: object,
) -> tf.data.Dataset:
    """Returns batches of two random views of each image: `fit` a mechanism, such as `MoCo`, on them.

    Each epoch has an order and draws of its own, pure functions of the seed.

    Args:
        data_dir: folder of images, or with `dataset` another place of them.
        batch_size: images a step, over all replicas; those left at an epoch's end wait for another.
        image_size: side of a view, pixels.
        aug_plus: MoCo v2's augmentation; else v1's.
        seed: of all that is drawn.
        first_epoch: whose draws come first, for a run that goes on; 0 is the first.
        settings: others of --help's groups Data and Views, by their names, as crop_min=0.08.

    Returns:
        An endless `tf.data.Dataset` of (x_q, x_k), float32 `[N, S, S, 3]` each, normalised by mean and
        std of ImageNet unless they are given; its attribute `steps_per_epoch` says how many batches an
        epoch has, which `fit` asks for.

    Raises:
        UserError: a setting is unknown or out of bounds, or there are too few images.

    Examples:
        >>> views = mocotf.two_crops("my_photos", batch_size=24, image_size=32, crop_min=0.1)
        >>> x_q, x_k = next(iter(views))
        >>> x_q.shape
        TensorShape([24, 32, 32, 3])
        >>> views.steps_per_epoch
        3
    """
    kinds = (DataSettings, ViewSettings, PairSettings)
    known = [name for kind in kinds for name in settings_of(kind)]
    if unknown := [name for name in settings if name not in known]:
        raise UserError(f"two_crops: {unknown[0]} is no setting; expected some of {', '.join(known)}")
    values = {"dataset": "folder", "data_dir": path_of(data_dir)} | settings
    values |= {"image_size": image_size, "aug_plus": aug_plus}
    data, views, pairs = (kind.of(values) for kind in kinds)
    for one in (data, views, pairs):
        one.check()
    source = open_source(data, pairs)
    steps = source.steps_per_epoch(batch_size, 1)
    if not steps:
        raise UserError(
            f"batch_size={batch_size}: {source.name} has only {source.size} images; expected at least "
            "one batch"
        )
    dataset = random_views(
        source,
        views.augmentation,
        Order(seed, batch_size, steps),
        bad_images=BadImages(None, source.size, data.max_bad_images, source.root),
        first_step=first_epoch * steps,
        ops=data.host_ops,
        data_service=views.data_service,
    )
    dataset.steps_per_epoch = steps
    return dataset
