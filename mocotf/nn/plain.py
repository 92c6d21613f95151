"""An encoder made of Keras's own layers, from pixels to features: what other programs can read."""

import keras
import numpy as np

from mocotf.nn.batch_norm import BatchNorm
from mocotf.nn.keras_backbones import KerasBackbone
from mocotf.nn.max_pool import MaxPool
from mocotf.nn.resnet import Conv2D

OUTPUTS = ("features", "embedding")


def plain(encoder, *, size, mean, std):
    """Returns a `keras.Model` that computes what an `Encoder` does, and needs no mocotf to be loaded.

    It has the layers `normalize`, `backbone` and `head`, and weights of its own.

    Args:
        encoder: an `Encoder` of precision float32.
        size: side of the images, pixels.
        mean, std: of R, G, B in [0, 1], that the encoder was trained with.

    Returns:
        A model from images `[n, size, size, 3]`, RGB in 0…255 of any dtype, to a dictionary of
        `features` `[n, C]`, the pooled features, and `embedding` `[n, dim]`, the head's output of unit
        length; both float32.
    """
    images = keras.Input((size, size, 3), name="image")
    mean, std = np.array(mean), np.array(std)
    # keras.layers.Normalization would hold tensors, which the exporter to ONNX takes for inputs.
    scale, offset = (1 / (255 * std)).tolist(), (-mean / std).tolist()
    x = keras.layers.Rescaling(scale, offset, name="normalize")(images)
    if isinstance(encoder.backbone, KerasBackbone):
        backbone = encoder.backbone.plain("backbone")
    else:
        backbone = plain_backbone(encoder.backbone, name="backbone")
    features = backbone(x)
    head = keras.models.clone_model(encoder.head)
    copy_by_name(encoder.head, head)
    embedding = keras.layers.UnitNormalization(name="unit_length")(head(features))
    return keras.Model(images, {"features": features, "embedding": embedding}, name="encoder")


def plain_backbone(backbone, call=None, name=None, make=None):
    """Returns a copy of a backbone, of Keras's own layers under the same names.

    Args:
        backbone: a `ResNet`, in the copy's layers its precision is kept; or a `KerasBackbone`, whose
            model it is, for which the other arguments have no meaning.
        call: (layer, x) → y, instead of calling the copy's layers.
        name: of the copy.
        make: layer → the copy's, instead of `stock`.
    """
    if isinstance(backbone, KerasBackbone):
        return backbone.stock()
    call = call or (lambda layer, x: layer(x))

    relus = {layer.name for layer in backbone.layers if getattr(layer, "relu", False)}
    pools = {layer.name for layer in backbone.layers if isinstance(layer, MaxPool)}

    def call_with_the_rest(layer, x, shortcut=None, **_):
        if layer.name in pools:
            pad = keras.layers.ZeroPadding2D(1, name=f"{layer.name}.pad", dtype=layer.dtype_policy)
            x = call(pad, x)
        y = call(layer, x)
        if shortcut is not None:
            y = keras.layers.Add(name=f"{layer.name}.add", dtype=layer.dtype_policy)([y, shortcut])
        if layer.name in relus:
            y = keras.layers.ReLU(name=f"{layer.name}.relu", dtype=layer.dtype_policy)(y)
        return y

    copy = keras.models.clone_model(
        backbone, clone_function=make or stock, call_function=call_with_the_rest
    )
    copy = keras.Model(copy.inputs[0], copy.outputs[0], name=name or backbone.name)
    copy_by_name(backbone, copy)
    return copy


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
    """Returns a new layer of Keras's for one of ours in inference, but for its pads, sum and ReLU."""
    if isinstance(layer, BatchNorm):
        return keras.layers.BatchNormalization(
            momentum=layer.momentum, epsilon=layer.epsilon, name=layer.name, dtype=layer.dtype_policy
        )
    if isinstance(layer, MaxPool):
        return keras.layers.MaxPooling2D(3, 2, name=layer.name, dtype=layer.dtype_policy)
    kind = keras.layers.Conv2D if isinstance(layer, Conv2D) else type(layer)
    return kind.from_config(layer.get_config())
