"""Encoder weights under PyTorch's names and in its layouts; needs NumPy only."""

import re
from typing import NamedTuple

import keras
import numpy as np

from mocotf.nn.batch_norm import BatchNorm

HWIO_TO_OIHW = (3, 2, 0, 1)
OIHW_TO_HWIO = (2, 3, 1, 0)
IN_OUT = (1, 0)  # a dense kernel, its own inverse


class Entry(NamedTuple):
    """A variable, and the axes that bring its value into PyTorch's layout and back."""

    variable: keras.Variable
    to_torch: tuple[int, ...] | None = None
    from_torch: tuple[int, ...] | None = None

    def read(self):
        value = self.variable.numpy()
        return np.ascontiguousarray(value.transpose(self.to_torch) if self.to_torch else value)

    def write(self, value):
        self.variable.assign(value.transpose(self.from_torch) if self.from_torch else value)

    @property
    def shape(self):
        shape = tuple(self.variable.shape)
        return tuple(shape[axis] for axis in self.to_torch) if self.to_torch else shape


def entries(encoder):
    """Returns torchvision's name → `Entry` of every weight of an `Encoder`, in PyTorch's order."""
    found = {}
    for layer in encoder.backbone.layers + encoder.head.layers:
        if isinstance(layer, BatchNorm | keras.layers.BatchNormalization):
            if layer.gamma.trainable:
                found[f"{layer.name}.weight"] = Entry(layer.gamma)
                found[f"{layer.name}.bias"] = Entry(layer.beta)
            found[f"{layer.name}.running_mean"] = Entry(layer.moving_mean)
            found[f"{layer.name}.running_var"] = Entry(layer.moving_variance)
        elif isinstance(layer, keras.layers.Conv2D):
            found[f"{layer.name}.weight"] = Entry(layer.kernel, HWIO_TO_OIHW, OIHW_TO_HWIO)
        elif isinstance(layer, keras.layers.Dense):
            found[f"{layer.name}.weight"] = Entry(layer.kernel, IN_OUT, IN_OUT)
            if layer.use_bias:
                found[f"{layer.name}.bias"] = Entry(layer.bias)
    return {name: found[name] for name in sorted(found, key=_definition_order)}


def parameters(encoder):
    """Returns the trainable part of `entries`: what `torch.nn.Module.parameters` yields, in order."""
    return {name: entry for name, entry in entries(encoder).items() if not _is_statistic(name)}


def misfits(encoder, state, prefix=""):
    """Returns what of a name → array mapping does not fit an encoder: a list of descriptions.

    Args:
        encoder: an `Encoder`.
        state: as PyTorch names and lays out weights; `num_batches_tracked` is passed over.
        prefix: put before names.
    """
    expected = entries(encoder)
    state = {n: value for n, value in state.items() if not n.endswith("num_batches_tracked")}
    problems = [f"missing {prefix}{name}" for name in expected if name not in state]
    problems += [f"unexpected {prefix}{name}" for name in state if name not in expected]
    return problems + [
        f"{prefix}{name} has shape {list(state[name].shape)}, expected {list(entry.shape)}"
        for name, entry in expected.items()
        if name in state and tuple(state[name].shape) != entry.shape
    ]


def write_state(encoder, state):
    """Writes a name → array mapping, which must fit, into an encoder."""
    for name, entry in entries(encoder).items():
        entry.write(np.asarray(state[name]))


def read_state(encoder):
    """Returns the name → array mapping of an encoder, statistics included, in PyTorch's order."""
    return {name: entry.read() for name, entry in entries(encoder).items()}


def backbone_state(encoder):
    """Returns the part of `read_state` that is the backbone: a torchvision ResNet's without `fc`."""
    return {name: value for name, value in read_state(encoder).items() if not name.startswith("fc")}


def _is_statistic(name):
    return name.endswith((".running_mean", ".running_var"))


def _definition_order(name):
    """Sorts names as torchvision's modules define them: stem, blocks (shortcut last), head."""
    module, kind = name.rsplit(".", 1)
    rank = ["weight", "bias", "running_mean", "running_var"].index(kind)
    block = re.fullmatch(r"layer(\d+)\.(\d+)\.(.+)", module)
    if block:
        stage, index, part = int(block[1]), int(block[2]), block[3]
        shortcut = part.startswith("downsample")
        # conv1 bn1 conv2 bn2 …, then downsample.0 downsample.1
        number = int(part[-1])
        return (1, stage, index, shortcut, number, part.startswith("bn"), rank)
    if module.startswith("fc"):
        return (2, module, rank)
    return (0, module.startswith("bn"), rank)
