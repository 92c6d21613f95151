"""What an encoder is made of: what a user may choose."""

import dataclasses

from mocotf.errors import UserError
from mocotf.nn.backbone import EXAMPLES
from mocotf.nn.backbone import NAMES
from mocotf.nn.backbone import backbone_args
from mocotf.nn.backbone import check_resnet
from mocotf.nn.backbone import is_path
from mocotf.nn.resnet import ARCHITECTURES
from mocotf.nn.resnet import INITIALIZERS
from mocotf.nn.resnet import STEMS
from mocotf.settings import Settings
from mocotf.settings import setting


@dataclasses.dataclass(frozen=True)
class EncoderSettings(Settings):
    """Backbone and projection head."""

    GROUP = "Method"

    arch: str = setting("resnet50", f"Backbone: {NAMES}; others by --backbone.")
    width: float = setting(1.0, "Multiplies every channel count of --arch.", low=0.01)
    stem: str = setting(
        "imagenet",
        "First layers of --arch: imagenet 7x7/2 and max-pool, small 3x3/2, cifar 3x3/1.",
        choices=tuple(STEMS),
    )
    stem_init: str = setting(
        "fan_out",
        "How the first convolution of --arch is initialised: fan_out, as all others, N(0, 2 / "
        "fan_out); torch, as PyTorch initialises a replacement for it, U(-b, b), b = 1 / "
        "sqrt(fan_in).",
        choices=tuple(INITIALIZERS),
    )
    backbone: str | None = setting(
        None,
        "Backbone instead of --arch, as MODULE:NAME of something that makes a Keras model, such "
        "as keras.applications:ConvNeXtTiny, keras_hub:ViTBackbone or my_module:make_backbone.",
    )
    backbone_args: str | None = setting(
        None, 'Arguments of --backbone in JSON, such as {"alpha": 0.5}.'
    )
    mlp: bool = setting(False, "MoCo v2's two-layer head instead of v1's linear one.")
    moco_dim: int = setting(128, "Dimension of queries and keys.", low=1)
    bn_splits: int = setting(
        1,
        "BN groups that each replica's batch is split into; 8 stands for the papers' 8 GPUs. If a "
        "run is resumed on another number of replicas it follows, so that the groups stay the "
        "same.",
        low=1,
    )
    remat: bool = setting(
        False,
        "Gradient checkpointing: keep only the inputs of the query encoder's stem and residual "
        "blocks, and compute the rest again for the gradient. Saves most of the memory that grows "
        "with the batch, costs one more forward pass a step, and changes no result.",
        neutral=True,
    )

    def check(self, given=None):
        if self.backbone and not is_path(self.backbone):
            raise UserError(f"--backbone={self.backbone}: expected MODULE:NAME, such as {EXAMPLES}")
        if self.arch not in ARCHITECTURES and not is_path(self.arch):
            raise UserError(
                f"--arch={self.arch}: expected one of {NAMES}; try --backbone=MODULE:NAME for another "
                f"Keras model, as a ViT, such as {EXAMPLES}"
            )
        if self.backbone_args and not self.backbone:
            raise UserError("--backbone_args does nothing without --backbone: add it, or drop it")
        backbone_args(self)
        if self.remat:
            check_resnet(self, "--remat", "drop it")

    @property
    def name(self):
        """Of the backbone, as --backbone or --arch has it."""
        return self.backbone or self.arch
