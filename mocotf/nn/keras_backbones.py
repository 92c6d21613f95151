"""Anyone's Keras model as a backbone: copied, adapted to MoCo, and given back with what it learned."""

import functools
import random

import keras

from mocotf.errors import UserError
from mocotf.errors import first_line
from mocotf.nn import replica_layers
from mocotf.nn.batch_norm import batch_norms
from mocotf.nn.model_copies import dtype_policy
from mocotf.nn.model_copies import kind_of
from mocotf.nn.model_copies import made_by
from mocotf.nn.model_copies import maker_of_copies
from mocotf.nn.resnet import ResNet
from mocotf.nn.stages import stages_of
from mocotf.nn.stem_channels import RGB

PREPROCESSING = (keras.layers.Rescaling, keras.layers.Normalization)
# Rank of a model's output → the layer that pools it, and what messages call it.
POOLED = {
    2: (None, "vector"),
    3: (keras.layers.GlobalAveragePooling1D, "tokens"),
    4: (keras.layers.GlobalAveragePooling2D, "map"),
}


class KerasBackbone(keras.Model):
    """A Keras model as a backbone: from views `[n, H, W, N]` to features `[n, C]`.

    A map `[n, H, W, C]` and tokens `[n, L, C]` are mean-pooled. A model that begins with a
    preprocessing of its own, `Rescaling` or `Normalization`, is given pixels as files have them: in
    0…255, or of images that are not RGB in their own units.

    Args:
        model: nobody else's.
        remake: () → new model as it was before it was adapted.
        image_size: side of the views; None for what the model says.
        mean, std: that views are normalised by, of each channel, of R, G, B in [0, 1]; None: views are
            as files have them.
        channels: N of images that are not RGB; None: RGB.

    Attributes:
        model: as given.
        preprocesses: whether it is given pixels as files have them.

    Raises:
        UserError: it does not take such images, or does not return features.
    """

    blocks = None  # it does not say which

    def __init__(self, model, remake, *, image_size=None, mean=None, std=None, channels=None):
        super().__init__(name=model.name)
        self._remake = remake
        self.model = model
        self.input_shape, shape = _shapes(model, image_size, channels or RGB)
        pooling, self._kind = POOLED[len(shape)]
        self._pooling = pooling and pooling()
        self.output_shape = (None, shape[-1])
        self.preprocesses = _preprocesses(model)
        self._to_pixels = None
        if self.preprocesses and mean:
            unit = 1 if channels else 255
            scale, offset = ([unit * float(value) for value in values] for values in (std, mean))
            self._to_pixels = keras.layers.Rescaling(scale, offset, name="views_to_pixels")
        self.built = True

    @property
    def stages(self):
        """Its maps with their strides, see `stages_of`; None if it does not say which."""
        return stages_of(self.model)

    @property
    def about(self):
        """What a user should know of how it is used, one line; "" where there is nothing to say."""
        said = []
        if self._pooling:
            said.append(f"mean-pools the {self._kind} that it returns")
        if self.preprocesses:
            said.append("preprocesses by itself, so it is given pixels as files have them")
        if not batch_norms(self.model):
            said.append("has no batch norm to split or to shuffle")
        return f"backbone {self.model.name}: {'; '.join(said)}" if said else ""

    def stock(self):
        """Returns the model that was given, of Keras's own layers, with the weights of this one."""
        with dtype_policy(self.dtype_policy):
            model = self._remake()
            if not model.built:
                model(keras.Input(self.input_shape[1:]))
        model.set_weights(self.model.get_weights())
        return model

    def plain(self, name=None):
        """Returns a new model of Keras's own layers that computes what this one does, from views."""
        views = keras.Input(self.input_shape[1:], dtype=self.compute_dtype)
        return keras.Model(views, self._pooled(self.stock()(self.prepared(views))), name=name)

    def prepared(self, views):
        """Returns what the model takes, of normalised views: pixels as files have them if it
        preprocesses."""
        return self._to_pixels(views) if self._to_pixels else views

    def call(self, views, training=False):
        return self._pooled(self.model(self.prepared(views), training=training))

    def _pooled(self, y):
        return self._pooling(y) if self._pooling else y


def as_backbone(
    source, *, bn_splits=1, image_size=None, mean=None, std=None, channels=None, seed=0, name=None
):
    """Returns a new backbone: a `ResNet` as it is, anything else as a `KerasBackbone`.

    Args:
        source: a functional or sequential `keras.Model`, or another that its config tells all of, of
            which a copy is taken, with its weights; or a function () → new model.
        bn_splits: groups of a batch in its batch norm.
        image_size, mean, std, channels: see `KerasBackbone`.
        seed, name: of what draws in training: dropout, stochastic depth. Each name draws otherwise.

    Raises:
        UserError: it cannot be one, and why.
    """
    if isinstance(source, keras.Model):
        make = maker_of_copies(source)
        model = make()
        model.set_weights(source.get_weights())
    else:
        make = functools.partial(made_by, source)
        model = make()
    check_trainable(model)
    if isinstance(model, ResNet):
        backbone = model
    else:
        views = {"image_size": image_size, "mean": mean, "std": std, "channels": channels}
        backbone = KerasBackbone(model, make, **views)
    # Last, for some models are built by the first call only.
    replica_layers.adapt(model, bn_splits=bn_splits, seeds=random.Random(f"{seed}/{name}"))
    return backbone


def check_trainable(model):
    """Refuses a model that does not train all of its weights, or uses some of them twice.

    Raises:
        UserError: that is so.
    """
    for layer in model._flatten_layers():
        if layer.variables and not layer.trainable:
            raise UserError(
                f"backbone {model.name}: its layer {layer.name} is frozen; pre-training trains all; "
                "set trainable = True"
            )
    for called in model.get_config().get("layers", ()) if hasattr(model, "operations") else ():
        if len(called["inbound_nodes"]) > 1 and model.get_layer(called["name"]).variables:
            raise UserError(
                f"backbone {model.name}: its layer {called['name']} is called "
                f"{len(called['inbound_nodes'])} times; expected weights that no branches share"
            )


def _shapes(model, image_size, channels):
    """Returns the shapes of a model's images and of its output, having built it; raises `UserError`."""
    size = image_size or None
    expected = getattr(model, "input_shape", None) if model.built else None
    shape = tuple(expected) if isinstance(expected, tuple | list) else (None, size, size, channels)
    if expected is not None and (not isinstance(expected, tuple | list) or len(shape) != 4):
        raise UserError(
            f"backbone {model.name}: takes {expected}; expected images [n, H, W, {channels}]"
        )
    if shape[-1] != channels:
        raise UserError(
            f"backbone {model.name}: takes images of {shape[-1]} channels; expected {channels}, as "
            "views have; make it for such, or see --channels"
        )
    for side in shape[1:3]:
        if size and side not in (None, size):
            raise UserError(
                f"backbone {model.name}: takes images of {shape[1]}x{shape[2]}, views are of "
                f"{size}x{size}; make it for input_shape=({size}, {size}, {channels}), or change the "
                "views' size"
            )
    sides = [side or size for side in shape[1:3]]
    try:
        y = model(keras.Input((*sides, channels), dtype=keras.config.dtype_policy().compute_dtype))
    except Exception as error:  # of code that is not ours
        raise UserError(
            f"backbone {model.name}: cannot be called on images [n, {sides[0]}, {sides[1]}, "
            f"{channels}]: {first_line(error)}; try larger images, or call a model of one size on some "
            "once before"
        ) from error
    if not isinstance(y, keras.KerasTensor):
        raise UserError(
            f"backbone {model.name}: returns {kind_of(y)}; expected one output; give a model of it"
        )
    if len(y.shape) not in POOLED or y.shape[-1] is None:
        raise UserError(
            f"backbone {model.name}: returns {list(y.shape)}; expected features [n, C], tokens "
            "[n, L, C] or a map [n, H, W, C]"
        )
    return (None, *sides, channels), y.shape


def _preprocesses(model):
    """Returns whether what a model does first is to rescale or normalise pixels."""
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    if len(layers) == 1 and hasattr(layers[0], "layers"):
        return _preprocesses(layers[0])
    first = layers[:1] if hasattr(model, "operations") else layers
    return any(isinstance(layer, PREPROCESSING) for layer in first)
