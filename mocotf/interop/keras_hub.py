"""KerasHub's ResNetBackbone, as a preset; needs the extra `transfer`."""

import os

import keras

from mocotf import extras
from mocotf.errors import UserError
from mocotf.files import atomic_path
from mocotf.interop.output import check_stem
from mocotf.interop.output import difference
from mocotf.interop.output import normalized
from mocotf.interop.output import outputs
from mocotf.nn.plain import copy_by_name
from mocotf.nn.resnet import ARCHITECTURES


def write(saved, path):
    """Writes a folder that `keras_hub.models.ResNetBackbone.from_preset` reads.

    Images are to be normalised as in pre-training before they go in.
    """
    backbone = build(saved)
    images, expected = outputs(saved)
    with atomic_path(path) as partial:
        backbone.save_to_preset(partial)
        back = type(backbone).from_preset(os.path.abspath(partial))
        features = keras.ops.mean(back(normalized(images, saved.view)), axis=(1, 2))
        worst = difference({"features": features}, {"features": expected["features"]}, path)
    return {"max_difference": worst}


def build(saved):
    """Returns the `ResNetBackbone` with the weights of a `SavedRun`'s backbone."""
    config = saved.config.encoder
    check_stem(config, "KerasHub's ResNetBackbone")
    if config.width != 1:
        raise UserError(
            f"--width={config.width:g}: KerasHub's ResNetBackbone has width 1 only; expected such a run"
        )
    target = empty(config.arch, len(saved.view.mean))
    copy_by_name(saved.encoder(precision="float32").backbone, target, name_of)
    return target


def empty(arch, channels=3):
    """Returns a new `ResNetBackbone` of an architecture of ours, for images of so many channels."""
    keras_hub = extras.require("keras_hub", "a backbone of KerasHub")
    bottleneck, stages = ARCHITECTURES[arch]
    return keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 128, 256, 512],
        stackwise_num_blocks=list(stages),
        stackwise_num_strides=[1, 2, 2, 2],
        block_type="bottleneck_block" if bottleneck else "basic_block",
        image_shape=(None, None, channels),
        dtype="float32",
    )


def name_of(name):
    """Returns KerasHub's name of our layer, as layer1.0.conv2: stack0_block0_2_conv."""
    module, _, part = name.rpartition(".")
    if not module:  # conv1, bn1
        return f"{name.replace('bn', 'conv')}_{name[:-1]}"
    if module.endswith("downsample"):
        module, part = module.removesuffix(".downsample"), ("conv0", "bn0")[int(part)]
    stage, block = module.removeprefix("layer").split(".")
    return f"stack{int(stage) - 1}_block{block}_{part[-1]}_{part[:-1]}"
