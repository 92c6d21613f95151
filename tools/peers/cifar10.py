r"""The authors' CIFAR-10 recipe in PyTorch and torchvision, beside which flags/cifar10.cfg is shown.

    .venv-peers/bin/python tools/peers/cifar10.py runs/collections/cifar10 --seed=1 \
        --out=runs/cifar10_torch1

Trains one epoch, 27 minutes on two cores, and writes the loss of each step as a run of mocotf has it,
for `tools/cifar10_curve.py --peers`. The network is torchvision's ResNet-18, with a first convolution
of 3 × 3 and no max-pool; the views are its transforms.
"""

import argparse
import copy
import json
import math
import os
import pathlib
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from tools.peers.views import torchvision_transforms

T = torchvision_transforms()  # first: it lets torchvision be imported beside a PyTorch without CUDA
from torchvision.models import resnet18  # noqa: E402

BATCH, GROUPS, DIM, K, M, TEMPERATURE = 512, 8, 128, 4096, 0.99, 0.1
RATE = 0.06 * (1 + math.cos(math.pi / 200)) / 2  # of the first of 200 epochs
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


class GroupedBatchNorm(nn.BatchNorm2d):
    """Batch norm of each eighth of the batch by itself, as on eight GPUs; in training only."""

    def forward(self, x):
        n, C, H, W = x.shape
        grouped = x.view(n // GROUPS, GROUPS * C, H, W)
        weight, bias = self.weight.repeat(GROUPS), self.bias.repeat(GROUPS)
        return F.batch_norm(grouped, None, None, weight, bias, True, 0, self.eps).view(n, C, H, W)


def encoder():
    """Returns the encoder, images `[n, 3, 32, 32]` to `[n, DIM]`."""
    net = resnet18(num_classes=DIM, norm_layer=GroupedBatchNorm)
    net.conv1, net.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    return net


class Pairs(torch.utils.data.Dataset):
    """Two views of each picture of a folder."""

    def __init__(self, folder):
        self.paths = sorted(pathlib.Path(folder, "train").glob("*/*"))
        jitter = T.ColorJitter(0.4, 0.4, 0.4, 0.1)
        self.view = T.Compose(
            [
                T.RandomResizedCrop(32),
                T.RandomHorizontalFlip(),
                T.RandomApply([jitter], 0.8),
                T.RandomGrayscale(0.2),
                T.ToTensor(),
                T.Normalize(MEAN, STD),
            ]
        )

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        image = Image.open(self.paths[index]).convert("RGB")
        return self.view(image), self.view(image)


def losses(loader):
    """Yields the loss of each step (arXiv 1911.05722, Algorithm 1)."""
    f_q = encoder()
    f_k = copy.deepcopy(f_q).requires_grad_(False)
    queue, oldest = F.normalize(torch.randn(K, DIM), dim=1), 0
    sgd = torch.optim.SGD(f_q.parameters(), RATE, momentum=0.9, weight_decay=5e-4)
    for x_q, x_k in loader:
        with torch.no_grad():
            for theta_k, theta_q in zip(f_k.parameters(), f_q.parameters(), strict=True):
                theta_k.lerp_(theta_q, 1 - M)
            order = torch.randperm(BATCH)
            k = F.normalize(f_k(x_k[order]), dim=1)[order.argsort()]
        q = F.normalize(f_q(x_q), dim=1)
        logits = torch.cat([(q * k).sum(1, keepdim=True), q @ queue.T], 1) / TEMPERATURE
        loss = F.cross_entropy(logits, torch.zeros(BATCH, dtype=torch.long))
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        queue[oldest : oldest + BATCH] = k
        oldest = (oldest + BATCH) % K
        yield loss.item()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="of tools/make_collection.py cifar10")
    parser.add_argument("--out", required=True, help="folder to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="fewer than an epoch has")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    pairs = Pairs(args.folder)
    loader = torch.utils.data.DataLoader(pairs, BATCH, shuffle=True, drop_last=True)
    out = pathlib.Path(args.out)
    out.mkdir(parents=True)
    (out / "flags.cfg").write_text(f"--batch_size={BATCH}\n--log_every=1\n")
    with open(out / "metrics.jsonl", "w", encoding="utf-8", buffering=1) as file:
        for step, loss in enumerate(losses(loader), 1):
            file.write(json.dumps({"step": step, "loss": loss}) + "\n")
            print(f"step {step}/{args.steps or len(loader)}  loss {loss:.3f}", flush=True)
            if step == args.steps:
                return


if __name__ == "__main__":
    main()
