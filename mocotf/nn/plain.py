"""An encoder made of Keras's own layers, from pixels to features: what other programs can read."""

import keras
import numpy as np

from mocotf.nn.batch_norm import BatchNorm
from mocotf.nn.batch_norm import BatchNormReLU
from mocotf.nn.keras_backbones import KerasBackbone
from mocotf.nn.max_pool import MaxPool
from mocotf.nn.resnet import Conv2D

OUTPUTS = ("features", "embedding")


def plain(encoder, *, size, mean, std, channels=None):
    """Returns a `keras.Model` that computes what an `Encoder` does, and needs no mocotf to be loaded.

    It has the layers `normalize`, `backbone` and `head`, and weights of its own.

    Args:
        encoder: an `Encoder` of precision float32.
        size: side of the images, pixels.
        mean, std: that the encoder was trained with, of each channel, of R, G, B in [0, 1].
        channels: of images that are not RGB; None: RGB.

    Returns:
        A model from images `[n, size, size, 3]`, RGB in 0…255 of any dtype, or `[n, size, size,
        channels]` in the units of mean and std, to a dictionary of `features` `[n, C]`, the pooled
        features, and `embedding` `[n, dim]`, the head's output of unit length; both float32.
    """
    images = keras.Input((size, size, len(mean)), name="image")
    mean, std = np.array(mean), np.array(std)
    # keras.layers.Normalization would hold tensors, which the exporter to ONNX takes for inputs.
    unit = 1 if channels else 255
    scale, offset = (1 / (unit * std)).tolist(), (-mean / std).tolist()
    x = keras.layers.Rescaling(scale, offset, name="normalize")(images)
    if isinstance(encoder.backbone, KerasBackbone):
        backbone = encoder.backbone.plain("backbone")
    else:
        backbone = plain_backbone(encoder.backbone, name="backbone")
    features = backbone(x)
    head = encoder.head
    # A layer of ours is taken apart where the model is functional.
    head = plain_backbone(keras.Model(head.inputs[0], head.outputs[0], name=head.name))
    embedding = keras.layers.UnitNormalization(name="unit_length")(head(features))
    return keras.Model(images, {"features": features, "embedding": embedding}, name="encoder")


def plain_backbone(backbone, call=None, name=None, make=None):
    """Returns a copy of a backbone, of Keras's own layers under the same names, with its weights.

    Args:
        backbone: a `ResNet`, in the copy's layers its precision is kept; or a `KerasBackbone`, whose
            model it is, for which the other arguments have no meaning.
        call: (layer, x) → y, instead of calling the copy's layers.
        name: of the copy.
        make: layer → the copy's, instead of `stock`.
    """
    if isinstance(backbone, KerasBackbone):
        return backbone.stock()
    copy = with_stock_layers(backbone, make or stock, call)
    copy = keras.Model(copy.inputs[0], copy.outputs[0], name=name or backbone.name)
    copy_by_name(backbone, copy)
    return copy


def with_stock_layers(backbone, make, call=None):
    """Returns a model of new layers of Keras's in place of a backbone's; arguments as of
    `plain_backbone`. Pads, sums and ReLUs that are in a layer of ours have layers of their own."""
    call = call or (lambda layer, x: layer(x))

    def call_apart(layer, *inputs, **_):
        original = backbone.get_layer(layer.name)

        def also(kind, part, x):
            return call(kind(name=f"{layer.name}.{part}", dtype=layer.dtype_policy), x)

        if not isinstance(original, BatchNorm | Conv2D | MaxPool):
            return call(layer, *inputs)
        x, *shortcut = inputs
        if isinstance(original, MaxPool):
            x = also(keras.layers.ZeroPadding2D, "pad", x)
        y = call(layer, x)
        if shortcut:
            y = also(keras.layers.Add, "add", [y, *shortcut])
        return also(keras.layers.ReLU, "relu", y) if isinstance(original, BatchNormReLU) else y

    return keras.models.clone_model(backbone, clone_function=make, call_function=call_apart)


def copy_by_name(source, target, rename=str):
    """Copies the weights of each layer of a model to the layer of the same name in another.

    Args:
        rename: name of a layer in `source` → its name in `target`.
    """
    for layer in source.layers:
        if layer.variables:
            weights = {v.name: v for v in target.get_layer(rename(layer.name)).variables}
            for variable in layer.variables:
                weights[variable.name].assign(variable.value)


def stock(layer):
    """Returns a new layer of Keras's for one of ours, but for its pads, sum and ReLU."""
    if isinstance(layer, BatchNorm):
        return keras.layers.BatchNormalization(
            momentum=layer.momentum, epsilon=layer.epsilon, name=layer.name, dtype=layer.dtype_policy
        )
    if isinstance(layer, MaxPool):
        return keras.layers.MaxPooling2D(3, 2, name=layer.name, dtype=layer.dtype_policy)
    kind = keras.layers.Conv2D if isinstance(layer, Conv2D) else type(layer)
    return kind.from_config(layer.get_config())
