"""The backbone as a checkpoint that TensorFlow's Model Garden initialises its ResNet from.

Its tasks read `tf.train.Checkpoint(backbone=model.backbone)` where `init_checkpoint_modules` is
`backbone`. They find values by the path of attributes that leads to them, so a tree of the same
attributes stands for the model here.
"""

import os

import keras
import numpy as np
import tensorflow as tf

from mocotf.errors import UserError
from mocotf.files import atomic_path
from mocotf.files import remove
from mocotf.interop.output import check_stem
from mocotf.nn.plain import plain_backbone
from mocotf.training.checkpoints import ENDINGS


def write(saved, path):
    """Writes the two files of a checkpoint, `path`.index and `path`.data-00000-of-00001."""
    config = saved.config.encoder
    check_stem(config, "Model Garden's ResNet")
    if 64 * config.width % 1:
        raise UserError(
            f"--width={config.width:g}: Model Garden's ResNet has whole channels; expected a run whose "
            "width is a multiple of 1/64"
        )
    data, index = ENDINGS
    for file in (path + data, path + index):
        if os.path.exists(file):
            raise UserError(f"{file}: exists; expected the name of a new checkpoint")
    tree = _tree(saved.encoder(precision="float32").backbone)
    # The index takes its place last.
    with atomic_path(path + index) as partial, atomic_path(path + data):
        try:
            tf.train.Checkpoint(backbone=tree).write(partial.removesuffix(index))
        finally:
            remove(partial.removesuffix(index) + "_temp")  # which TensorFlow leaves where it fails
        variables = tf.train.list_variables(partial.removesuffix(index))
    return {"variables": len(variables)}


def same_padding(backbone):
    """Returns a copy of a backbone that pads strided windows as Model Garden's ResNet does.

    That is what TensorFlow calls SAME, more at the bottom and the right, where ours pads all sides
    equally: its windows lie further down and to the right, by a pixel of what each layer takes in.
    """

    def call(layer, x):
        if isinstance(layer, keras.layers.ZeroPadding2D):
            return x
        if isinstance(layer, keras.layers.Conv2D | keras.layers.MaxPooling2D):
            layer = type(layer).from_config(layer.get_config() | {"padding": "same"})
        return layer(x)

    return plain_backbone(backbone, call)


def _tree(backbone):
    """Returns the weights of a backbone at the attributes where Model Garden's ResNet has its own."""
    layers = {layer.name: layer for layer in backbone.layers if layer.variables}
    nodes = [_leaf(layers["conv1"]), _leaf(layers["bn1"])]
    blocks = [name.removesuffix(".conv1") for name in layers if name.endswith(".conv1")]
    nodes += [_block(block, layers) for block in blocks]
    return _node({f"layer_with_weights-{i}": node for i, node in enumerate(nodes)})


def _block(block, layers):
    """Returns the node of a residual block, as layer1.0."""
    parts = {}
    for i in (1, 2, 3):
        if f"{block}.conv{i}" in layers:
            parts[f"_conv{i}"] = _leaf(layers[f"{block}.conv{i}"])
            parts[f"_norm{i}"] = _leaf(layers[f"{block}.bn{i}"])
    if f"{block}.downsample.0" in layers:
        parts["_shortcut"] = _leaf(layers[f"{block}.downsample.0"])
        parts["_norm0"] = _leaf(layers[f"{block}.downsample.1"])
    elif block == "layer1.0":
        # Here Model Garden projects where torchvision does not: by the identity, then.
        parts |= _identity(layers["bn1"])
    return _node(parts)


def _identity(norm):
    """Returns the projection that changes nothing, of as many channels as `norm` has."""
    C = norm.gamma.shape[0]
    ones, zeros = np.ones([C], np.float32), np.zeros([C], np.float32)
    statistics = {"moving_mean": zeros, "moving_variance": ones - norm.epsilon}
    return {
        "_shortcut": _node({"kernel": tf.Variable(np.eye(C, dtype=np.float32)[None, None])}),
        "_norm0": _node(
            {n: tf.Variable(v) for n, v in ({"gamma": ones, "beta": zeros} | statistics).items()}
        ),
    }


def _leaf(layer):
    return _node({v.name: tf.Variable(v.value) for v in layer.variables})


def _node(children):
    return tf.train.Checkpoint(**children)
