"""A backbone that is traced in tens of milliseconds, for tests that need some encoder."""

from unittest import mock

import keras

from mocotf.nn.backbone import backbone_maker
from mocotf.nn.batch_norm import BatchNormReLU
from mocotf.nn.resnet import ARCHITECTURES
from mocotf.nn.resnet import Conv2D
from mocotf.nn.resnet import ResNet
from mocotf.nn.resnet import resnet
from mocotf.nn.settings import EncoderSettings

ARCH = "tests.tiny:backbone"
ONE_BLOCK = "tests.tiny:one_block"
STAGES = "tests.tiny:stages"


def maker(arch=ARCH, **settings):
    """Returns the function () → new model of a backbone by name; settings are `EncoderSettings`."""
    return backbone_maker(EncoderSettings(arch=arch, **settings))


def backbone(width=1.0, stem="small", bn_splits=1, channels=3):
    """Returns a backbone from images `[n, H, W, channels]` to features `[n, 64 * width]`: one
    convolution, batch norm, ReLU, pooling."""
    images = keras.Input((None, None, channels), dtype=keras.config.dtype_policy().compute_dtype)
    stride = 1 if stem == "cifar" else 2
    x = Conv2D(round(64 * width), 3, stride, padding="same", use_bias=False, name="conv1")(images)
    x = BatchNormReLU(bn_splits, name="bn1")(x)
    return ResNet(images, keras.layers.GlobalAveragePooling2D(name="avgpool")(x))


def stages(width=1.0, stem="small", bn_splits=1):
    """Returns a backbone with the stages and strides of a ResNet, a convolution and batch norm each."""
    x = images = keras.Input((None, None, 3), dtype=keras.config.dtype_policy().compute_dtype)
    layers = {"conv1": 1 if stem == "cifar" else 2, "layer1.0.conv1": 1}
    layers |= {f"layer{i}.0.conv1": 2 for i in (2, 3, 4)}
    for name, stride in layers.items():
        x = Conv2D(round(64 * width), 3, stride, padding="same", use_bias=False, name=name)(x)
        x = BatchNormReLU(bn_splits, name=name.replace("conv", "bn"))(x)
    return ResNet(images, keras.layers.GlobalAveragePooling2D(name="avgpool")(x))


def one_block(**options):
    """Returns the smallest ResNet: a stem and one basic block; options are those of `resnet`."""
    with mock.patch.dict(ARCHITECTURES, one_block=(False, (1,))):
        return resnet("one_block", **options)
