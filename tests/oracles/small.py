"""Small encoders and inputs, on which rounding stays small, and PyTorch's states, images, modules."""

import torch

from tests.oracles.torch_resnet import BasicBlock
from tests.oracles.torch_resnet import ResNet


def tiny(seed=0, dtype=torch.float64, **options):
    """A two-block ResNet of 4 and 8 channels for images of 8×8; options are those of `ResNet`."""
    torch.manual_seed(seed)
    options = {"stem": "cifar", "dim": 6, "base": 4, **options}
    return ResNet(BasicBlock, (1, 1), **options).to(dtype)


def images(n, seed, dtype=torch.float64):
    """Normal noise [n, 3, 8, 8]."""
    return torch.randn(n, 3, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def to_torch(x):
    """Images of an array `[n, H, W, C]` as PyTorch has them, [n, C, H, W]."""
    return torch.from_numpy(x.transpose(0, 3, 1, 2).copy())


def from_torch(x):
    return x.detach().numpy().transpose(0, 2, 3, 1)


def assert_same_state(a, b, **tolerance):
    """Fails, with the name, where two modules' parameters or buffers differ."""
    a, b = a.state_dict(), b.state_dict()
    assert list(a) == list(b)
    for name in a:
        torch.testing.assert_close(a[name], b[name], msg=lambda m, n=name: f"{n}: {m}", **tolerance)
