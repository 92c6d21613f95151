"""The backbones that are measured: of Keras, of KerasHub, of a user, and ours."""

import json
from typing import NamedTuple

SMALL_VIT = {"patch_size": 4, "num_layers": 6, "num_heads": 3, "hidden_dim": 192}
SWIN = {"patch_size": 2, "embed_dim": 48, "depths": [2, 2], "num_heads": [3, 6], "window_size": 4}
CSPNET = {  # a small CSPDarknet of three stages
    "stem_filters": 32,
    "stem_kernel_size": 3,
    "stem_strides": 1,
    "stem_padding": "same",
    "stackwise_depth": [1, 2, 4],
    "stackwise_strides": [2, 2, 2],
    "stackwise_num_filters": [64, 128, 256],
    "block_type": "dark_block",
    "stage_type": "csp",
    "bottle_ratio": [0.5, 1.0, 1.0],
    "block_ratio": [1.0, 0.5, 0.5],
    "expand_ratio": [2.0, 1.0, 1.0],
    "down_growth": True,
}
MIT = {  # B0
    "num_layers": 4,
    "layerwise_depths": [2, 2, 2, 2],
    "layerwise_num_heads": [1, 2, 5, 8],
    "layerwise_sr_ratios": [8, 4, 2, 1],
    "layerwise_patch_sizes": [7, 3, 3, 3],
    "layerwise_strides": [4, 2, 2, 2],
    "hidden_dims": [32, 64, 160, 256],
    "max_drop_path_rate": 0.1,
}


class Row(NamedTuple):
    """A backbone: flags of mocotf.train that name it, and the side of its images."""

    flags: tuple
    size: int = 32


def _of(backbone, arguments=None, **options):
    flags = [f"--backbone={backbone}"]
    if arguments:
        flags.append(f"--backbone_args={json.dumps(arguments)}")
    return Row(tuple(flags), **options)


ROWS = {
    "MobileNetV2": _of("keras.applications:MobileNetV2"),
    "MobileNetV3Small": _of("keras.applications:MobileNetV3Small"),
    "EfficientNetV2B0": _of("keras.applications:EfficientNetV2B0"),
    "ConvNeXtTiny": _of("keras.applications:ConvNeXtTiny"),
    "DenseNet121": _of("keras.applications:DenseNet121"),
    "Xception": _of("keras.applications:Xception", size=72),
    "ViT": _of("keras_hub:ViTBackbone", SMALL_VIT | {"mlp_dim": 768, "dropout_rate": 0.1}),
    "DeiT": _of("keras_hub:DeiTBackbone", SMALL_VIT | {"intermediate_dim": 768}),
    "Swin": _of("keras_hub:SwinTransformerBackbone", SWIN),
    "CSPNet": _of("keras_hub:CSPNetBackbone", CSPNET),
    "MiT": _of("keras_hub:MiTBackbone", MIT, size=64),
    "subclassed": _of("tests.keras_models:subclassed"),
    "ResNet-10": Row(("--arch=resnet10", "--width=0.5", "--stem=small")),
}
