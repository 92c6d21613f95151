"""torchvision's ResNets, written out: without its compiled operators torchvision does not import.

Additions and ReLUs are in place, as there.
"""

from torch import nn

# arch: (bottleneck?, blocks a stage)
ARCHITECTURES = {
    "resnet10": (False, (1, 1, 1, 1)),
    "resnet18": (False, (2, 2, 2, 2)),
    "resnet34": (False, (3, 4, 6, 3)),
    "resnet50": (True, (3, 4, 6, 3)),
    "resnet101": (True, (3, 4, 23, 3)),
    "resnet152": (True, (3, 8, 36, 3)),
}


class Block(nn.Module):
    """3×3 – 3×3, or 1×1 – 3×3 – 1×1, with a shortcut; the stride sits in the first 3×3."""

    def __init__(self, bottleneck, inputs, planes, stride):
        super().__init__()
        outputs = 4 * planes if bottleneck else planes
        self.relu = nn.ReLU(inplace=True)
        if bottleneck:
            self.conv1, self.bn1 = _conv(inputs, planes, 1, 1), nn.BatchNorm2d(planes)
            self.conv2, self.bn2 = _conv(planes, planes, 3, stride), nn.BatchNorm2d(planes)
            self.conv3, self.bn3 = _conv(planes, outputs, 1, 1), nn.BatchNorm2d(outputs)
        else:
            self.conv1, self.bn1 = _conv(inputs, planes, 3, stride), nn.BatchNorm2d(planes)
            self.conv2, self.bn2 = _conv(planes, outputs, 3, 1), nn.BatchNorm2d(outputs)
        self.bottleneck, self.downsample = bottleneck, None
        if stride > 1 or inputs != outputs:
            shortcut = _conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs)
            self.downsample = nn.Sequential(*shortcut)

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        if self.bottleneck:
            y = self.bn3(self.conv3(self.relu(y)))
        y += x if self.downsample is None else self.downsample(x)
        return self.relu(y)


class Encoder(nn.Sequential):
    """A ResNet with MoCo v2's head: images `[n, 3, H, W]` to embeddings `[n, dim]`."""

    def __init__(self, arch, dim):
        bottleneck, stages = ARCHITECTURES[arch]
        layers = [_conv(3, 64, 7, 2), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
        channels = 64
        for stage, blocks in enumerate(stages):
            planes = 64 * 2**stage
            for index in range(blocks):
                stride = 2 if stage > 0 and index == 0 else 1
                layers.append(Block(bottleneck, channels, planes, stride))
                channels = 4 * planes if bottleneck else planes
        head = [nn.Linear(channels, channels), nn.ReLU(inplace=True), nn.Linear(channels, dim)]
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), *head)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def _conv(inputs, outputs, kernel, stride):
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
