"""ResNets as torchvision defines them ("v1.5"), with torchvision's layer names.

He et al., arXiv 1512.03385; initialisation arXiv 1502.01852. What differs from `keras.applications`
and matters for exchanging weights: no convolution bias, the stride sits in the 3×3 convolution,
strided windows are padded explicitly by (k-1)/2 on every side, BN epsilon is 1e-5.
"""

import itertools

import keras
import tensorflow as tf

from mocotf.nn.batch_norm import BatchNorm
from mocotf.nn.batch_norm import BatchNormAddReLU
from mocotf.nn.batch_norm import BatchNormReLU
from mocotf.nn.kernels import policy
from mocotf.nn.kernels.convolution import convolve
from mocotf.nn.max_pool import MaxPool

# arch: (bottleneck?, blocks a stage)
ARCHITECTURES = {
    "resnet10": (False, (1, 1, 1, 1)),
    "resnet18": (False, (2, 2, 2, 2)),
    "resnet34": (False, (3, 4, 6, 3)),
    "resnet50": (True, (3, 4, 6, 3)),
    "resnet101": (True, (3, 4, 23, 3)),
    "resnet152": (True, (3, 8, 36, 3)),
}
# stem: (kernel, stride, max-pool?)
STEMS = {"imagenet": (7, 2, True), "cifar": (3, 1, False), "small": (3, 2, False)}
# How kernels begin: as torchvision's, N(0, 2 / fan_out); as PyTorch's own, U(±1/√fan_in).
INITIALIZERS = {
    "fan_out": (2.0, "fan_out", "untruncated_normal"),
    "torch": (1 / 3, "fan_in", "uniform"),
}


@keras.saving.register_keras_serializable("mocotf")
class ResNet(keras.Model):
    """A backbone that says all of itself: its blocks, and its stages with their strides."""

    @property
    def blocks(self):
        """Models in a row: the stem, each residual block, and pooling."""
        return segments(self)

    @property
    def stages(self):
        """See `stages_of`; None of a backbone that has no such layers."""
        return stages_of(self) or None


def resnet(
    arch, *, width=1.0, stem="imagenet", stem_init="fan_out", channels=3, bn_splits=1, name=None
):
    """Returns a backbone from images `[n, H, W, channels]` to globally pooled features `[n, C]`.

    Args:
        arch: a key of `ARCHITECTURES`.
        width: multiplies every channel count (2 and 4 are the MoCo paper's R50w2× and R50w4×).
        stem: "imagenet" 7×7 stride 2 and 3×3 max-pool, for 224 px; "small" 3×3 stride 2 and
            "cifar" 3×3 stride 1, both without pooling, for images of 64 and 32 px and less.
        stem_init: of the first convolution, a key of `INITIALIZERS`; all others have "fan_out".
        channels: of images.
        bn_splits: BN groups in a batch, see `BatchNorm`.
        name: of the returned `keras.Model`.
    """
    bottleneck, stages = ARCHITECTURES[arch]
    block = _bottleneck_block if bottleneck else _basic_block
    build = _Builder(bn_splits)
    kernel, stride, pool = STEMS[stem]
    planes = round(64 * width)

    images = keras.Input((None, None, channels), dtype=keras.config.dtype_policy().compute_dtype)
    x = build.conv(images, planes, kernel, stride, "conv1", stem_init)
    x = build.norm(x, "bn1")
    if pool:
        x = MaxPool(name="maxpool")(x)
    for stage, blocks in enumerate(stages):
        for index in range(blocks):
            stride = 2 if stage > 0 and index == 0 else 1
            x = block(build, x, planes * 2**stage, stride, f"layer{stage + 1}.{index}")
    features = keras.layers.GlobalAveragePooling2D(name="avgpool")(x)
    return ResNet(images, features, name=name or arch)


def segments(backbone):
    """Returns a backbone's stem, each residual block, and pooling: models in a row, of its layers."""
    ends = [layer.output for layer in last_norms(backbone)]
    bounds = [backbone.input, backbone.get_layer("layer1.0.conv1").input, *ends, backbone.output]
    return [keras.Model(begin, end) for begin, end in itertools.pairwise(bounds)]


def last_norms(backbone):
    """Returns the batch norm that each residual block of a backbone ends in."""
    return [layer for layer in backbone.layers if isinstance(layer, BatchNormAddReLU)]


def stages_of(model):
    """Returns layer1 to layer4, of a ResNet or its copy: name → (`keras.KerasTensor`, stride).

    The tensor is the last map of the stage; the stride is by how much it is smaller than the image.
    """
    found, stride = {}, 1
    for layer in model.layers:
        if "downsample" not in layer.name:  # beside the block's own
            stride *= getattr(layer, "strides", (1, 1))[0]
        if (stage := layer.name.partition(".")[0]).startswith("layer"):
            found[stage] = layer.output, stride
    return found


def _basic_block(build, x, planes, stride, name):
    y = build.conv(x, planes, 3, stride, f"{name}.conv1")
    y = build.norm(y, f"{name}.bn1")
    y = build.conv(y, planes, 3, 1, f"{name}.conv2")
    return build.end(y, build.shortcut(x, y, stride, name), f"{name}.bn2")


def _bottleneck_block(build, x, planes, stride, name):
    y = build.conv(x, planes, 1, 1, f"{name}.conv1")
    y = build.norm(y, f"{name}.bn1")
    y = build.conv(y, planes, 3, stride, f"{name}.conv2")
    y = build.norm(y, f"{name}.bn2")
    y = build.conv(y, 4 * planes, 1, 1, f"{name}.conv3")
    return build.end(y, build.shortcut(x, y, stride, name), f"{name}.bn3")


class _Builder:
    """Makes the layers that all blocks share."""

    def __init__(self, bn_splits):
        self.bn_splits = bn_splits

    def conv(self, x, channels, kernel, stride, name, init="fan_out"):
        # "same" pads strided windows on one side only; torchvision pads both by (k-1)/2.
        if kernel > 1 and stride > 1:
            x = keras.layers.ZeroPadding2D(kernel // 2, name=f"{name}.pad")(x)
        return Conv2D(
            channels,
            kernel,
            stride,
            padding="same" if stride == 1 else "valid",
            use_bias=False,
            kernel_initializer=keras.initializers.VarianceScaling(*INITIALIZERS[init]),
            name=name,
        )(x)

    def norm(self, x, name):
        return BatchNormReLU(self.bn_splits, name=name)(x)

    def end(self, y, shortcut, name):
        return BatchNormAddReLU(self.bn_splits, name=name)(y, shortcut)

    def shortcut(self, x, y, stride, name):
        if stride == 1 and x.shape[-1] == y.shape[-1]:
            return x
        x = self.conv(x, y.shape[-1], 1, stride, f"{name}.downsample.0")
        return BatchNorm(self.bn_splits, name=f"{name}.downsample.1")(x)


@keras.saving.register_keras_serializable("mocotf")
class Conv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` without bias, computed faster where there is a way."""

    def call(self, inputs, training=False):
        stride = self.strides[0]
        # A tensor, for a custom gradient would have to know of a variable.
        kernel = tf.cast(tf.convert_to_tensor(self.kernel), inputs.dtype)
        if stem := policy.stem_for(inputs, stride, self.padding):
            return stem(inputs, kernel, stride)
        ways = policy.convolution_for(inputs, kernel.shape, stride, self.padding, training)
        return convolve(ways, inputs, kernel) if ways else super().call(inputs)
