"""Oracle: ResNets "v1.5" in PyTorch, with torchvision's parameter names and order."""

import torch
import torch.nn.functional as F
from torch import nn


class GroupBatchNorm2d(nn.BatchNorm2d):
    """Batch norm over contiguous groups of the batch, each normalised by its own statistics.

    Training:  y = γ (x − mean_g) / √(biased var_g + eps) + β   for each group g
               running ← .9 running + .1 · mean over the kept groups of (mean_g, unbiased var_g)

    Args:
      groups: number of groups (replicas, or splits of one replica); must divide the batch.
      running: which groups the running statistics follow: "mean" all of them (`--bn_splits`),
        "first" the first one (replicas: replica 0's are kept), an int that many leading ones
        (replicas that are split themselves: the splits of replica 0).
    """

    def __init__(self, num_features, groups=1, running="mean", eps=1e-5, momentum=0.1):
        super().__init__(num_features, eps=eps, momentum=momentum)
        self.groups = groups
        self.kept = {"mean": groups, "first": 1}.get(running, running)
        if not isinstance(self.kept, int) or not 1 <= self.kept <= groups:
            raise ValueError(f"running must be 'mean', 'first' or 1..{groups}, got {running!r}")

    def forward(self, x):  # [n, C, H, W]
        if not self.training:
            return super().forward(x)
        if len(x) % self.groups:
            raise ValueError(f"a batch of {len(x)} does not split into {self.groups} equal groups")
        outputs, means, variances = [], [], []
        for part in x.chunk(self.groups):
            # With momentum 1 torch writes the group's mean and unbiased variance into these two, [C].
            mean, var = torch.zeros_like(self.running_mean), torch.zeros_like(self.running_var)
            outputs.append(F.batch_norm(part, mean, var, self.weight, self.bias, True, 1.0, self.eps))
            means.append(mean)
            variances.append(var)
        with torch.no_grad():
            new_mean = torch.stack(means[: self.kept]).mean(0)
            new_var = torch.stack(variances[: self.kept]).mean(0)
            self.running_mean.mul_(1 - self.momentum).add_(new_mean, alpha=self.momentum)
            self.running_var.mul_(1 - self.momentum).add_(new_var, alpha=self.momentum)
            self.num_batches_tracked.add_(1)
        return torch.cat(outputs)


def conv(inputs, outputs, size, stride=1):
    """A convolution without bias, padded by (size − 1) / 2 zeros on each side."""
    return nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)


class BasicBlock(nn.Module):
    """3×3 – 3×3 with a shortcut; the stride is in the first 3×3."""

    expansion = 1

    def __init__(self, inputs, planes, stride, norm):
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, planes, 3, stride), norm(planes)
        self.conv2, self.bn2 = conv(planes, planes, 3), norm(planes)
        self.downsample = shortcut(inputs, planes * self.expansion, stride, norm)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1×1 – 3×3 – 1×1 with a shortcut; the stride is in the 3×3 ("v1.5")."""

    expansion = 4

    def __init__(self, inputs, planes, stride, norm):
        super().__init__()
        outputs = planes * self.expansion
        self.conv1, self.bn1 = conv(inputs, planes, 1), norm(planes)
        self.conv2, self.bn2 = conv(planes, planes, 3, stride), norm(planes)
        self.conv3, self.bn3 = conv(planes, outputs, 1), norm(outputs)
        self.downsample = shortcut(inputs, outputs, stride, norm)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


def shortcut(inputs, outputs, stride, norm):
    """A strided 1×1 projection where the shapes differ, else None (the identity)."""
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(conv(inputs, outputs, 1, stride), norm(outputs))


class ResNet(nn.Module):
    """A ResNet encoder: images [n, inputs, H, W] → embeddings [n, dim], not yet of unit length.

    Args:
      block: `BasicBlock` or `Bottleneck`.
      layers: blocks of each stage; one to four stages (a tiny network: `layers=(1, 1)`).
      stem: "imagenet" (7×7/2, 3×3/2 max-pool) or "cifar" (3×3/1, no pool).
      width: multiplies every channel count, the stem's and the output's too (R50w2×: 2).
      dim: width of the embedding.
      mlp: False: `fc` is Linear (v1). True: Linear – ReLU – Linear, as wide as the features (v2).
      base: channels of the stem and planes of the first stage at width 1.
      bn_groups, running: see `GroupBatchNorm2d`; bn_groups None builds plain `nn.BatchNorm2d`.
      inputs: channels of images.
    """

    def __init__(
        self, block, layers, stem="imagenet", width=1, dim=128, mlp=False, base=64,
        bn_groups=1, running="mean", inputs=3,
    ):  # fmt: skip
        super().__init__()
        if stem not in ("imagenet", "cifar"):
            raise ValueError(f"stem must be 'imagenet' or 'cifar', got {stem!r}")

        def norm(channels):
            if bn_groups is None:
                return nn.BatchNorm2d(channels)
            return GroupBatchNorm2d(channels, bn_groups, running)

        planes = base * width
        self.stem = stem
        self.conv1 = conv(inputs, planes, 7, 2) if stem == "imagenet" else conv(inputs, planes, 3)
        self.bn1 = norm(planes)
        channels = planes
        self.stages = [f"layer{i + 1}" for i in range(len(layers))]
        for i, (name, count) in enumerate(zip(self.stages, layers, strict=True)):
            blocks = []
            for j in range(count):
                stride = 2 if i > 0 and j == 0 else 1
                blocks.append(block(channels, planes * 2**i, stride, norm))
                channels = planes * 2**i * block.expansion
            setattr(self, name, nn.Sequential(*blocks))
        self.channels = channels  # width of the pooled features
        if mlp:
            self.fc = nn.Sequential(nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, dim))
        else:
            self.fc = nn.Linear(channels, dim)
        self.reset_parameters()

    def reset_parameters(self):
        """He-normal fan-out convolutions; BN γ 1, β 0; head weights and biases U(±1/√fan_in)."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.ones_(module.weight)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Linear):
                bound = module.in_features**-0.5
                nn.init.uniform_(module.weight, -bound, bound)
                nn.init.uniform_(module.bias, -bound, bound)

    def maps(self, x):
        """Returns the feature map of every stage, a list of [n, C, h, w]."""
        x = F.relu(self.bn1(self.conv1(x)))
        if self.stem == "imagenet":
            x = F.max_pool2d(x, kernel_size=3, stride=2, padding=1)
        maps = []
        for name in self.stages:
            x = getattr(self, name)(x)
            maps.append(x)
        return maps

    def features(self, x):
        """Returns the pooled features [n, channels]."""
        return self.maps(x)[-1].mean((2, 3))

    def forward(self, x):
        return self.fc(self.features(x))


ARCHITECTURES = {
    "resnet18": (BasicBlock, (2, 2, 2, 2)),
    "resnet34": (BasicBlock, (3, 4, 6, 3)),
    "resnet50": (Bottleneck, (3, 4, 6, 3)),
    "resnet101": (Bottleneck, (3, 4, 23, 3)),
    "resnet152": (Bottleneck, (3, 8, 36, 3)),
}


def resnet(arch, **options):
    """Builds "resnet18", 34, 50, 101 or 152; options are those of `ResNet`."""
    return ResNet(*ARCHITECTURES[arch], **options)
