"""Oracle: files in the `.pth.tar` layout of the original MoCo, built from the oracles' encoders."""

import copy

import torch
from torch import nn


class OriginalModel(nn.Module):
    """The original's module tree; its `state_dict`: queue, queue_ptr, encoder_q.*, encoder_k.*."""

    def __init__(self, encoder_q, encoder_k, queue, queue_ptr):
        super().__init__()
        self.encoder_q = encoder_q
        self.encoder_k = encoder_k
        self.register_buffer("queue", queue.T.contiguous())  # [C, K]: the original keeps columns
        self.register_buffer("queue_ptr", torch.tensor([queue_ptr], dtype=torch.int64))  # [1]


def training_file(oracle, arch, epoch, prefix="module."):
    """Returns the content of a full training checkpoint.

    Args:
      oracle: a `MoCoOracle`; its optimizer lists encoder_q's parameters, then encoder_k's, and
        has momentum buffers for those of encoder_q that took a step.
      arch: the torchvision name, such as "resnet50".
      epoch: epochs done (the original stores epoch + 1 at the end of an epoch).
      prefix: "module." as DistributedDataParallel writes it, or "".
    """
    model = OriginalModel(oracle.encoder_q, oracle.encoder_k, oracle.queue, oracle.queue_ptr)
    state, optimizer = dict(model.state_dict(prefix=prefix)), oracle.optimizer.state_dict()
    return copy.deepcopy({"epoch": epoch, "arch": arch, "state_dict": state, "optimizer": optimizer})


def cleaned_file(encoder_q, arch, epoch, prefix="module."):
    """Returns the content of a released, query-only file: no key encoder, queue or optimizer."""
    state = encoder_q.state_dict(prefix=f"{prefix}encoder_q.")
    return copy.deepcopy({"epoch": epoch, "arch": arch, "state_dict": dict(state)})


def load_training_file(oracle, content):
    """Restores a `MoCoOracle` from a training checkpoint; an unknown or absent name raises."""
    state = {name.removeprefix("module."): value for name, value in content["state_dict"].items()}
    model = OriginalModel(oracle.encoder_q, oracle.encoder_k, oracle.queue, oracle.queue_ptr)
    model.load_state_dict(state, strict=True)
    oracle.queue = model.queue.T.contiguous()  # [K, C]
    oracle.queue_ptr = int(model.queue_ptr)
    oracle.optimizer.load_state_dict(content["optimizer"])


@torch.no_grad()
def randomise(encoder, seed):
    """Gives BN γ, β and running statistics values of a trained network's kind; returns the encoder.

    At the start all γ are 1 and all β 0, so a converter that mixes them up would go unnoticed.
    """
    generator = torch.Generator().manual_seed(seed)

    def fill(tensor, low, high):
        tensor.copy_(low + (high - low) * torch.rand(tensor.shape, generator=generator))

    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            fill(module.weight, 0.5, 1.5)
            fill(module.bias, -0.5, 0.5)
            fill(module.running_mean, -0.5, 0.5)
            fill(module.running_var, 0.5, 2.0)
            module.num_batches_tracked.fill_(1000)
    return encoder


def convert_to_detectron2(state):
    """Renames a MoCo's state dictionary by the steps of the original's converter for detectron2."""
    renamed = {}
    for name, value in state.items():
        if not name.startswith("module.encoder_q."):
            continue
        name = name.removeprefix("module.encoder_q.")
        if "layer" not in name:
            name = "stem." + name
        for stage in (1, 2, 3, 4):
            name = name.replace(f"layer{stage}", f"res{stage + 1}")
        for i in (1, 2, 3):
            name = name.replace(f"bn{i}", f"conv{i}.norm")
        name = name.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")
        renamed[name] = value.numpy()
    return {"model": renamed, "__author__": "MOCO", "matching_heuristics": True}
