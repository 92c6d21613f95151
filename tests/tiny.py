"""A backbone that is traced in tens of milliseconds, for tests that need some encoder."""

import keras

from mocotf.nn.batch_norm import BatchNorm
from mocotf.nn.resnet import Conv2D

ARCH = "tests.tiny:backbone"


def backbone(width=1.0, stem="small", bn_splits=1):
    """Returns a backbone from images `[n, H, W, 3]` to features `[n, 64 * width]`: one convolution,
    batch norm, ReLU, pooling."""
    images = keras.Input((None, None, 3), dtype=keras.config.dtype_policy().compute_dtype)
    stride = 1 if stem == "cifar" else 2
    x = Conv2D(round(64 * width), 3, stride, padding="same", use_bias=False, name="conv1")(images)
    x = BatchNorm(bn_splits, True, name="bn1")(x)
    return keras.Model(images, keras.layers.GlobalAveragePooling2D(name="avgpool")(x))
