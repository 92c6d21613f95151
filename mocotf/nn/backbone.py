"""Backbones by name: the ResNets, and anybody's own."""

import importlib

from mocotf.errors import UserError
from mocotf.nn.resnet import ARCHITECTURES
from mocotf.nn.resnet import resnet

NAMES = f"<{'|'.join(ARCHITECTURES)}> or MODULE:FUNCTION"


def build_backbone(arch, *, width=1.0, stem="imagenet", bn_splits=1):
    """Returns a new backbone: a Keras model from images `[n, H, W, 3]` to features `[n, C]`.

    Args:
        arch: of a ResNet, or MODULE:FUNCTION: a function, in a module that can be imported, which takes
            the other arguments by name and returns such a model.
        width, stem, bn_splits: as of `resnet`.

    Raises:
        UserError: there is no such backbone, or its layers have no names of their own.
    """
    options = {"width": width, "stem": stem, "bn_splits": bn_splits}
    if arch in ARCHITECTURES:
        return resnet(arch, **options)
    module, _, function = arch.partition(":")
    try:
        make = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, SyntaxError, TypeError, ValueError) as error:
        raise UserError(f"--arch={arch}: {error}; expected {NAMES}") from error
    backbone = make(**options)
    _check_names(backbone, arch)
    return backbone


def _check_names(backbone, arch):
    """Refuses layers that Keras has named: by their names checkpoints find weights, and Keras counts on
    with each model that a process makes."""
    for layer in backbone.layers:
        kind = type(layer).__name__.lower().rstrip("0123456789")
        name = layer.name.rstrip("0123456789_").replace("_", "")
        if layer.weights and name == kind:
            raise UserError(
                f"--arch={arch}: its layer {layer.name} has no name of its own, by which a checkpoint "
                "would find its weights; expected name=… in every layer that has weights"
            )


def check_resnet(arch, what):
    """Refuses a backbone that is no ResNet.

    Raises:
        UserError: it is not; `what` says what needs one.
    """
    if arch not in ARCHITECTURES:
        raise UserError(f"--arch={arch}: {what} needs a ResNet: {', '.join(ARCHITECTURES)}")


def is_name(arch):
    """Returns whether a text may name a backbone; whether there is one, `build_backbone` finds out."""
    module, colon, function = arch.partition(":")
    return arch in ARCHITECTURES or bool(module and colon and function)
