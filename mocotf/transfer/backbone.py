"""A pre-trained ResNet as other models take it: feature maps, every layer tuned, batch norm in step."""

import math

import keras

from mocotf.errors import UserError
from mocotf.nn.plain import plain_backbone
from mocotf.nn.plain import stock

STAGES = ("layer1", "layer2", "layer3", "layer4")  # the papers' conv2 … conv5


class Pyramid(keras.Model):
    """A ResNet from images `[n, H, W, 3]` to the map of its last stage, `[n, h, w, C]`.

    KerasHub's `RetinaNetBackbone` and `DeepLabV3Backbone` take it for an image encoder.

    Attributes:
        stages: name in `STAGES` → `keras.KerasTensor`, what the stage puts out.
        strides: name in `STAGES` → by how much its map is smaller than the image, a power of 2.
        pyramid_outputs: the stages by KerasHub's names, in which "P3" is the map of stride 2³; of two
            stages of the same stride it has the later.
    """

    def __init__(self, image, stages, strides, name="backbone"):
        super().__init__(image, stages[STAGES[-1]], name=name)
        self.stages = stages
        self.strides = strides
        self.pyramid_outputs = {f"P{int(math.log2(strides[s]))}": stages[s] for s in STAGES}


def pyramid(backbone, *, dilated=False, name="backbone"):
    """Returns a copy of a backbone as a `Pyramid`, of Keras's own layers under the same names.

    In training its batch norm takes the statistics of the images of all replicas together, which
    detectors need that see two images a device. Every layer is trained.

    Args:
        backbone: the `backbone` of an `Encoder`, of any arch, width, stem and precision.
        dilated: the last stage has stride 1 and its 3×3 convolutions dilation 2, as the papers'
            segmentation and dilated-C5 have conv5.
        name: of the copy.
    """
    make = _dilated if dilated else _synchronized
    copy = plain_backbone(backbone, make=make, name=name)
    stages, strides = {}, {}
    for stage in STAGES:
        end = [layer for layer in copy.layers if layer.name.startswith(f"{stage}.")][-1]
        stages[stage] = end.output
        strides[stage] = _stride(copy, stage)
    return Pyramid(copy.inputs[0], stages, strides, name)


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
            f"{own[-1]} (level n is of stride 2^n), which its --stem decides; expected levels from "
            f"{own[0]} to {last}"
        )
    return lowest, highest


def _synchronized(layer):
    copy = stock(layer)
    if isinstance(copy, keras.layers.BatchNormalization):
        copy.synchronized = True
    return copy


def _dilated(layer):
    copy = _synchronized(layer)
    if not layer.name.startswith(STAGES[-1]):
        return copy
    if isinstance(copy, keras.layers.ZeroPadding2D):
        copy.padding = ((2, 2), (2, 2))  # before what was strided and is dilated
    if isinstance(copy, keras.layers.Conv2D):
        copy.strides = (1, 1)
        if copy.kernel_size == (3, 3):
            copy.dilation_rate = (2, 2)
    return copy


def _stride(model, stage):
    """Returns how many pixels of the image lie between two places of the map of a stage."""
    stride = 1
    for layer in model.layers:
        if layer.name.partition(".")[0] in ("conv1", "maxpool", *STAGES[: STAGES.index(stage) + 1]):
            own = getattr(layer, "strides", (1, 1))[0]
            if "downsample" not in layer.name:  # beside the block's own
                stride *= own
    return stride
