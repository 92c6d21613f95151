"""Sanity of the oracle: ResNet and group batch norm."""

import pytest
import torch
from torch import nn

from tests.oracles.small import assert_same_state
from tests.oracles.small import images
from tests.oracles.small import tiny
from tests.oracles.torch_resnet import GroupBatchNorm2d
from tests.oracles.torch_resnet import resnet

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def counted(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    "arch, options, backbone, total",
    [
        ("resnet50", {}, 23_508_032, 23_770_304),
        ("resnet50", {"mlp": True}, 23_508_032, 27_966_656),
        ("resnet18", {"dim": 1000}, 11_176_512, 11_689_512),
        ("resnet34", {"dim": 1000}, 21_284_672, 21_797_672),
        ("resnet101", {"dim": 1000}, 42_500_160, 44_549_160),
        ("resnet152", {"dim": 1000}, 58_143_808, 60_192_808),
    ],
)
def test_parameter_counts(arch, options, backbone, total):
    with torch.device("meta"):
        model = resnet(arch, **options)
    assert (counted(model) - counted(model.fc), counted(model)) == (backbone, total)


def test_wide_networks_have_the_paper_s_millions_of_parameters():
    with torch.device("meta"):
        millions = [counted(resnet("resnet50", width=w)) / 1e6 for w in (1, 2, 4)]
    assert [round(m) for m in millions] == [24, 94, 376]  # the paper: 24, 94, 375


def test_names_are_torchvision_s_in_its_order():
    with torch.device("meta"):
        model = resnet("resnet50", mlp=True)
    names = [name for name, _ in model.named_parameters()]
    assert names[:6] == [
        "conv1.weight", "bn1.weight", "bn1.bias",
        "layer1.0.conv1.weight", "layer1.0.bn1.weight", "layer1.0.bn1.bias",
    ]  # fmt: skip
    block = [n for n in names if n.startswith("layer2.0.") and n.endswith("weight")]
    parts = ["conv1", "bn1", "conv2", "bn2", "conv3", "bn3", "downsample.0", "downsample.1"]
    assert block == [f"layer2.0.{part}.weight" for part in parts]
    assert names[-4:] == ["fc.0.weight", "fc.0.bias", "fc.2.weight", "fc.2.bias"]
    assert model.layer2[0].conv2.stride == (2, 2) and model.layer2[0].conv1.stride == (1, 1)
    assert sum(isinstance(m, nn.Conv2d) for m in model.modules()) == 53
    assert sum(isinstance(m, nn.BatchNorm2d) for m in model.modules()) == 53


def test_shapes_and_start():
    model = resnet("resnet18", dim=16)
    assert [m.shape[1:] for m in model.maps(torch.randn(2, 3, 64, 64))] == [
        (64, 16, 16), (128, 8, 8), (256, 4, 4), (512, 2, 2)
    ]  # fmt: skip
    assert tiny().maps(images(2, 0))[0].shape == (2, 4, 8, 8)
    deviation = model.layer4[0].conv2.weight.std()
    torch.testing.assert_close(deviation, torch.tensor((2 / (512 * 9)) ** 0.5), rtol=0.01, atol=0)
    for tensor in model.fc.parameters():
        assert 0.75 / 512**0.5 < tensor.abs().max() <= 1 / 512**0.5
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all((m.weight == 1).all() and (m.bias == 0).all() for m in norms)


@DTYPES
def test_one_group_is_torch_s_batch_norm(dtype):
    plain, grouped = nn.BatchNorm2d(5).to(dtype), GroupBatchNorm2d(5, groups=1).to(dtype)
    with torch.no_grad():
        for norm in (plain, grouped):
            norm.weight.copy_(torch.linspace(0.5, 2, 5))
            norm.bias.copy_(torch.linspace(-1, 1, 5))
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        x = torch.randn(4, 5, 3, 2, generator=generator, dtype=dtype) * 3 + 1
        a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
        ya, yb = plain(a), grouped(b)
        assert torch.equal(ya, yb)
        (ya**3).sum().backward()
        (yb**3).sum().backward()
        torch.testing.assert_close(a.grad, b.grad)
    assert_same_state(plain, grouped)
    torch.testing.assert_close(plain.eval()(x), grouped.eval()(x))


@DTYPES
@pytest.mark.parametrize("running, kept", [("mean", 4), ("first", 1), (2, 2)])
def test_groups_against_the_definition(running, kept, dtype):
    norm = GroupBatchNorm2d(3, groups=4, running=running).to(dtype)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(8, 3, 5, 5, generator=generator, dtype=dtype) + torch.arange(8).reshape(8, 1, 1, 1)
    y = norm(x.requires_grad_())
    groups = x.reshape(4, 2, 3, 5, 5)
    var, mean = torch.var_mean(groups, (1, 3, 4), correction=0, keepdim=True)
    expected = ((groups - mean) / (var + 1e-5).sqrt()).reshape(x.shape)
    torch.testing.assert_close(y, expected)
    gradients = (torch.autograd.grad((value**3).sum(), x)[0] for value in (y, expected))
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-4)
    mean, var = (value.detach()[:kept].mean(0).flatten() for value in (mean, var))
    torch.testing.assert_close(norm.running_mean, 0.1 * mean)
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * var * 50 / 49)
    with pytest.raises(ValueError, match="batch of 7"):
        norm(x[:7])
