"""A pre-trained backbone as others take it: feature maps, every layer tuned, batch norm in step."""

import logging
import math

import keras

from mocotf.errors import UserError
from mocotf.errors import first_line
from mocotf.nn import replica_layers
from mocotf.nn import resnet
from mocotf.nn import stages as keras_stages
from mocotf.nn.batch_norm import synchronize
from mocotf.nn.plain import plain_backbone
from mocotf.nn.plain import stock

OTHER = 96, 160  # sides of images that no model is made for

log = logging.getLogger(__name__)


class Pyramid(keras.Model):
    """A backbone from images `[n, H, W, 3]` to the map of its last stage, `[n, h, w, C]`.

    KerasHub's `RetinaNetBackbone` and `DeepLabV3Backbone` take it for an image encoder.

    Attributes:
        stages: name → (`keras.KerasTensor`, what the stage puts out; its stride, a power of 2), from
            fine to coarse.
        stride: of the last stage.
        align_corners: place i of a map looks at pixel i · stride, as where all sides are padded alike;
            else at the i-th of squares of stride · stride pixels.
        pyramid_outputs: the stages by KerasHub's names, in which "P3" is the map of stride 2³; of two
            stages of the same stride it has the later.
    """

    def __init__(self, image, stages, *, align_corners, name="backbone"):
        *_, (last, stride) = stages.values()
        super().__init__(image, last, name=name)
        self.stages = stages
        self.stride = stride
        self.align_corners = align_corners
        self.pyramid_outputs = {f"P{int(math.log2(n))}": tensor for tensor, n in stages.values()}


def pyramid(backbone, *, dilated=False, name="backbone"):
    """Returns a copy of a backbone as a `Pyramid`, of Keras's own layers under the same names, but for
    strided shortcuts, see `policy`.

    In training its batch norm takes the statistics of the images of all replicas together, which
    detectors need that see two images a device. Every layer is trained.

    Args:
        backbone: the `backbone` of an `Encoder`, of any precision, that offers stages.
        dilated: the last stage of a ResNet has stride 1 and its 3×3 convolutions dilation 2, as the
            papers' segmentation and dilated-C5 have conv5. Of others it is as it was, with a warning.
        name: of the copy.

    Raises:
        UserError: it offers no stages, or takes images of one size only.
    """
    if not backbone.stages:
        raise UserError(
            f"backbone {backbone.name}: does not say what its stages are, maps of two or more strides, "
            "which detection and segmentation need; expected a ResNet of --arch, or a convolutional "
            "network as a functional model, such as keras.applications:MobileNetV2, for images of any "
            "size or of a multiple of 32 pixels"
        )
    if isinstance(backbone, resnet.ResNet):
        make = _dilated if dilated else _synchronized
        copy = plain_backbone(backbone, make=make, name=name)
        return Pyramid(copy.inputs[0], resnet.stages_of(copy), align_corners=True, name=name)
    if dilated:
        log.warning(
            "backbone %s: its last map is of stride %d; a dilated one, of half of that, needs a ResNet "
            "of --arch; try one where things are small",
            backbone.name,
            list(backbone.stages.values())[-1][1],
        )
    return _of_keras(backbone, name)


def levels_of(backbone, lowest=None, highest=None):
    """Returns (lowest, highest) level of a feature pyramid, of which n is of stride 2ⁿ.

    Args:
        backbone: a `Pyramid`.
        lowest, highest: as asked for; None for RetinaNet's 3 to 7, as far as there are such: KerasHub
            goes beyond the maps of a backbone from its P5 only.

    Raises:
        UserError: the backbone has not the maps that they are made of.
    """
    own = sorted(int(name[1:]) for name in backbone.pyramid_outputs)
    last = 7 if own[-1] >= 5 else own[-1]
    lowest = min(3, own[-1] - 1) if lowest is None else lowest
    highest = last if highest is None else highest
    if not own[0] <= lowest <= min(highest, own[-1]) or highest > last:
        raise UserError(
            f"--min_level={lowest} --max_level={highest}: the backbone has maps of levels {own[0]} to "
            f"{own[-1]} (level n is of stride 2^n), which its architecture and --stem decide; expected "
            f"levels from {own[0]} to {last}"
        )
    return lowest, highest


def _synchronized(layer):
    if isinstance(layer, resnet.Conv2D) and layer.kernel_size == (1, 1) and layer.strides != (1, 1):
        return resnet.Conv2D.from_config(layer.get_config())  # TensorFlow's has a wrong gradient
    copy = stock(layer)
    if isinstance(copy, keras.layers.BatchNormalization):
        copy.synchronized = True
    return copy


def _dilated(layer):
    copy = _synchronized(layer)
    if not layer.name.startswith("layer4"):
        return copy
    if isinstance(copy, keras.layers.ZeroPadding2D):
        copy.padding = ((2, 2), (2, 2))  # before what was strided and is dilated
    if isinstance(copy, keras.layers.Conv2D):
        copy.strides = (1, 1)
        if copy.kernel_size == (3, 3):
            copy.dilation_rate = (2, 2)
    return copy


def _of_keras(backbone, name):
    """Returns the `Pyramid` of a `KerasBackbone`."""
    model = backbone.stock()
    stages = keras_stages.stages_of(model)
    replica_layers.adapt(model)
    synchronize(model)
    images = keras.Input((None, None, 3), dtype=backbone.compute_dtype)
    maps = keras.Model(model.inputs, [tensor for tensor, _ in stages.values()])
    try:
        # Not by calling the model, which may have been made for images of one size.
        maps = maps.call([backbone.prepared(images)])
        keras.Model(images, maps).compute_output_shape((None, *OTHER, 3))
    except (TypeError, ValueError) as error:
        raise UserError(
            f"backbone {backbone.name}: takes images of one size only ({first_line(error)}); detection "
            "and segmentation need one for input_shape=(None, None, 3)"
        ) from error
    strides = [stride for _, stride in stages.values()]
    stages = dict(zip(stages, zip(maps, strides, strict=True), strict=True))
    return Pyramid(images, stages, align_corners=False, name=name)
