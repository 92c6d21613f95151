"""Weights of a checkpoint for a model of another kind than the run's, or for no run at all."""

import os

import tensorflow as tf

from mocotf.errors import UserError
from mocotf.errors import first_line
from mocotf.nn.stem_channels import adapt_stem
from mocotf.training.checkpoints import newest_in
from mocotf.training.checkpoints import read
from mocotf.training.state import assign
from mocotf.training.state import differences
from mocotf.training.state import named_variables
from mocotf.training.state import shapes
from mocotf.training.state import state_of


def load_encoder(encoder, path):
    """Loads the query encoder of a run, its first convolution as `adapt_stem` has it.

    Args:
        encoder: an `Encoder` of the same architecture, head and width.
        path: of a run directory, whose newest checkpoint it is, or of a checkpoint, ckpt-STEP.

    Raises:
        UserError: there is none, it cannot be read, or its encoder is of another architecture.
    """
    if os.path.isdir(os.path.join(path, "checkpoints")):
        path = newest_in(path)
    named = named_variables("query_encoder", encoder.variables)
    _load(named, path, lambda n: n.startswith("query_encoder/"), adapt_stem)


def load_backbone(backbone, path):
    """Loads the backbone of a run of `mocotf.finetune` or `mocotf.linear`; arguments as `load_encoder`,
    a checkpoint only."""
    named = named_variables("backbone", backbone.variables)
    _load(named, path, lambda n: n.startswith("backbone/"))


def load_state(model, path):
    """Loads all that a compiled `MoCo` is made of; arguments as `load_encoder`, a checkpoint only.

    A probe that only the run had is left out.
    """
    named = state_of(model)
    _load(named, path, lambda n: n in named or not n.startswith(("skipped_batches", "probe/")))


def load_arrays(path, *names):
    """Returns the arrays of these names in a checkpoint; raises as `load_encoder`."""
    values = _read(path)
    if missing := [name for name in names if name not in values]:
        raise UserError(
            f"{path}: is of another architecture: {missing[0]} is absent there; expected one that "
            "mocotf.train wrote with these flags"
        )
    return [values[name] for name in names]


def _load(named, path, wanted, adapt=lambda values, *_: values):
    """Assigns the values that a checkpoint has under `wanted` names, which must be those of `named`;
    `adapt` makes them fit first, see `adapt_stem`."""
    values = {n: v for n, v in _read(path).items() if wanted(n)}
    values = adapt(values, shapes(named), path)
    if odd := differences(shapes(values), shapes(named)):
        raise UserError(
            f"{path}: is of another architecture: {odd}; expected what --arch, --width, --stem and "
            "--mlp say"
        )
    assign(named, values)


def _read(path):
    try:
        return read(path)
    except (tf.errors.OpError, ValueError, IndexError) as error:
        raise UserError(
            f"{path}: {first_line(error)}; expected a run directory, or a checkpoint in one, ckpt-STEP"
        ) from error
