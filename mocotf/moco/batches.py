"""Batches that users make, held against the model that is to take them."""

import tensorflow as tf

from mocotf.errors import UserError
from mocotf.nn.batch_norm import batch_norms


def check(spec, model):
    """Refuses batches that a `Mechanism` cannot take.

    Args:
        spec: `element_spec` of a `tf.data.Dataset` of global batches.
        model: the `Mechanism`, compiled.

    Raises:
        UserError: it has too few views, or they are no images of its size, or not of a number that can
            be divided.
    """
    expected = ("the view x", "views (x_q, x_k)")[model.VIEWS - 1]
    spec = spec if isinstance(spec, tuple) else (spec,)
    images = spec[: model.VIEWS]
    wrong = [one for one in images if not isinstance(one, tf.TensorSpec) or len(one.shape or ()) != 4]
    if len(images) < model.VIEWS or wrong:
        found = ", ".join(str(getattr(one, "shape", one)) for one in spec)
        raise UserError(
            f"fit: a batch of the dataset is ({found}); expected {expected}, each [N, H, W, "
            f"{model.query_encoder.backbone.input_shape[-1]}]; mocotf.two_crops makes such"
        )
    for one in images:
        _check_image(one.shape, model)
    _check_number(images[0].shape[0], model)


def _check_image(shape, model):
    backbone = model.query_encoder.backbone
    takes = tuple(backbone.input_shape)[1:]
    fits = all(a is None or b is None or a == b for a, b in zip(takes, shape[1:], strict=True))
    if not fits:
        raise UserError(
            f"fit: views are {list(shape[1:])}, backbone {backbone.name} takes {list(takes)}; make "
            "views of its size, or the backbone for theirs"
        )


def _check_number(N, model):
    replicas = model.distribute_strategy.num_replicas_in_sync
    norms = batch_norms(model.query_encoder.backbone)
    groups = norms[0].groups if norms else 1
    unit = replicas * groups * model.A
    factors = f"{replicas} replicas x {groups} BN groups x {model.A} micro-batches"
    if N is None and unit > 1:
        raise UserError(
            f"fit: the dataset does not say how many images a batch has; expected a multiple of {unit} "
            f"({factors}): batch(…, drop_remainder=True)"
        )
    if N is not None and N % unit:
        raise UserError(
            f"fit: a batch has {N} images; expected a multiple of {unit} ({factors}); try "
            f"{N // unit * unit or unit}"
        )
    if N is not None and (model.most_images or N) < N:
        raise UserError(
            f"fit: a batch has {N} images, whose keys do not fit the queue; expected at most "
            f"{model.most_images}; try a larger K"
        )
