"""Whose a PyTorch checkpoint is: what tools call the weights of an encoder, brought to MoCo's names."""

import re

from mocotf.errors import UserError
from mocotf.nn.resnet import ARCHITECTURES

WRAPPERS = {"module", "_orig_mod"}  # of DistributedDataParallel, and of torch.compile
# Where tools keep the state; VISSL's trunk comes before the rest of its content.
PLACES = (
    ("classy_state_dict", "base_model", "model", "trunk"),
    ("state_dict",),
    ("model",),
)
BACKBONES = {  # what names begin with → whose they are
    "base_encoder.": "MoCo v3",
    "backbone.": "solo-learn, mmselfsup or OpenSelfSup",
    "_feature_blocks.": "VISSL",
    "model.": "a model within a model",
    "encoder.": "torchgeo or segmentation_models",
    "model.encoder.": "torchgeo's segmentation",
    "model.backbone.model.": "torchgeo's BYOL",
    "": "torchvision, timm or lightly-train",
}
# lightly's backbones are what torchvision's ResNet has, numbered.
NUMBERED = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}


def state_of(content, path):
    """Returns the name → tensor mapping in a checkpoint, names without what wraps a model.

    Raises:
        UserError: there is none.
    """
    for place in PLACES:
        found = content
        for key in place:
            found = found.get(key) if isinstance(found, dict) else None
        if isinstance(found, dict) and found:
            break
    else:
        found = content
    tensors = {name: value for name, value in found.items() if hasattr(value, "is_floating_point")}
    if not tensors:
        raise UserError(
            f"{path}: has no state_dict, and no tensors; expected a checkpoint of the original MoCo, "
            f"or of {', '.join(BACKBONES.values())}"
        )
    return {_unwrapped(name): value for name, value in tensors.items()}


def backbone_of(state, path):
    """Returns the weights of a ResNet under torchvision's names, without a head.

    Args:
        state: name → array, of `state_of`.

    Raises:
        UserError: it is none of the layouts that are known.
    """
    if "backbone.0.weight" in state:
        state = {_of_number(name): value for name, value in state.items()}
    for prefix in BACKBONES:
        stem = state.get(f"{prefix}conv1.weight")
        if stem is not None and stem.ndim == 4:
            own = {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}
            return {n: v for n, v in own.items() if re.match(r"(conv1|bn1|layer\d)\.", n)}
    first = ", ".join(list(state)[:3])
    raise UserError(
        f"{path}: its names begin {first}: no ResNet's, of the original MoCo or of "
        f"{', '.join(BACKBONES.values())}; expected a conv1.weight"
    )


def arch_of(backbone, path):
    """Returns the architecture whose blocks a backbone has, by torchvision's names.

    Raises:
        UserError: none has.
    """
    blocks = {re.match(r"layer(\d+)\.(\d+)\.", name) for name in backbone}
    blocks = {(int(match[1]), int(match[2])) for match in blocks if match}
    counts = tuple(sum(stage == own for own, _ in blocks) for stage in range(1, 5))
    kind = "layer1.0.conv3.weight" in backbone, counts
    for arch, known in ARCHITECTURES.items():
        if known == kind:
            return arch
    raise UserError(
        f"{path}: says no arch, and has stages of {counts} blocks; expected those of one of "
        f"{', '.join(ARCHITECTURES)}"
    )


def _unwrapped(name):
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def _of_number(name):
    number = re.match(r"backbone\.(\d+)\.", name)
    return f"backbone.{NUMBERED.get(number[1], number[1])}.{name[number.end() :]}" if number else name
