"""Backbones by name: the ResNets, and anybody's Keras models.

A backbone maps images `[n, H, W, 3]`, or of other channels, to features `[n, C]`. If it can, it says
more of itself: `stages`, its maps with their strides, which detection and segmentation need; and
`blocks`, models in a row that are its parts, which --remat needs.
"""

import contextlib
import functools
import importlib
import inspect
import json
import os
import sys

from mocotf import extras
from mocotf.errors import UserError
from mocotf.errors import first_line
from mocotf.nn.resnet import ARCHITECTURES
from mocotf.nn.resnet import resnet
from mocotf.nn.stem_channels import RGB

NAMES = ", ".join(ARCHITECTURES)
EXAMPLES = "keras.applications:ConvNeXtTiny, keras_hub:ViTBackbone or my_module:make_backbone"


def backbone_maker(settings, image_size=None, channels=None, **more):
    """Returns the function () → new `keras.Model` that `EncoderSettings` name.

    Args:
        image_size: side of the images in pixels, for what wants to know; None: it is not told.
        channels: of images that are not RGB; None: RGB.
        more: what --backbone is made with, whatever its arguments say.

    Raises:
        UserError: there is no such backbone; the function raises it if it does not make one.
    """
    if not settings.backbone and settings.arch in ARCHITECTURES:
        own = {name: getattr(settings, name) for name in ("width", "stem", "stem_init")}
        return functools.partial(resnet, settings.arch, channels=channels or RGB, **own)
    maker = maker_of(settings)
    if settings.backbone:
        options = _options(maker, image_size, channels) | backbone_args(settings) | more
    else:  # as it was given before there was --backbone
        options = {name: getattr(settings, name) for name in ("width", "stem", "bn_splits")}
        options |= {"channels": channels} if channels else {}

    def make():
        try:
            return maker(**options)
        except (TypeError, ValueError, ImportError) as error:
            shown = f" --backbone_args={settings.backbone_args}" if settings.backbone_args else ""
            raise UserError(f"{_flag(settings)}{shown}: {first_line(error)}") from error

    return make


def maker_of(settings):
    """Returns the function or class at MODULE:NAME, of an installed module or one in this folder.

    Raises:
        UserError: there is none.
    """
    path, _, name = settings.name.partition(":")
    with _current_folder():
        try:
            module = importlib.import_module(path)
            # KerasHub has its backbones in a module of its own.
            found = getattr(module, name, None) or getattr(getattr(module, "models", module), name)
            inspect.signature(found)  # of what cannot be called there is none
            return found
        except (ImportError, AttributeError, SyntaxError, TypeError, ValueError) as error:
            missing = getattr(error, "name", None) == "keras_hub"
            tried = f"try: {extras.command('keras_hub')}" if missing else f"such as {EXAMPLES}"
            raise UserError(
                f"{_flag(settings)}: {first_line(error)}; expected MODULE:NAME, {tried}"
            ) from error


def _flag(settings):
    return f"--{'backbone' if settings.backbone else 'arch'}={settings.name}"


def backbone_args(settings):
    """Returns name → value of what `EncoderSettings` give a backbone's function; raises `UserError`."""
    try:
        found = json.loads(settings.backbone_args or "{}")
    except ValueError as error:
        raise UserError(f"--backbone_args={settings.backbone_args}: is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise UserError(
            f'--backbone_args={settings.backbone_args}: expected an object in JSON, as {{"alpha": 0.5}}'
        )
    return found


def _options(maker, image_size, channels):
    """Returns what a backbone is made with where a user says nothing else of it."""
    known = inspect.signature(maker).parameters
    found = {}
    if "include_top" in known:  # one of keras.applications
        found = {"include_top": False, "weights": None, "pooling": "avg"}
        if channels:  # views are normalised, and its own preprocessing is of RGB in 0…255
            found |= {"input_shape": (None, None, channels), "include_preprocessing": False}
    if image_size:  # one of KerasHub
        found["image_shape"] = (image_size, image_size, channels or RGB)
    return {name: value for name, value in found.items() if name in known}


@contextlib.contextmanager
def _current_folder():
    """Within it modules are also looked for in the current folder, as Python does for its scripts."""
    sys.path.insert(0, os.getcwd())
    try:
        yield
    finally:
        sys.path.remove(os.getcwd())


def check_resnet(settings, what, instead):
    """Refuses `EncoderSettings` of a backbone that is no ResNet.

    Raises:
        UserError: it is not; `what` says what needs one, `instead` what to try.
    """
    if settings.name not in ARCHITECTURES:
        raise UserError(f"{_flag(settings)}: {what} needs a ResNet: {NAMES}; {instead}")


def is_path(text):
    """Returns whether a text is MODULE:NAME; whether it is there, `backbone_maker` finds out."""
    module, colon, name = text.partition(":")
    return bool(module and colon and name)
