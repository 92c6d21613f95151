"""MoCo v2's training step in PyTorch, for tools/benchmark_step.py; runs in an environment of its own.

    .venv-peers/bin/python tools/peers/step_torch.py '{"arch": "resnet50", "precision": "float32", …}'

Each part is the fastest of PyTorch's that we found on a CPU: weights and images channels-last, one
`lerp` for the momentum update, fused SGD, no backward graph for the keys, freed memory kept as by
mocotf.training.host, autocast only where it is faster than float32. Loss and queue are float32, as
ours. Keys are not shuffled, and no accuracy is computed.
"""

import copy
import ctypes
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import torch
import torch.nn.functional as F

from tools.peers.serve import resident_mb
from tools.peers.serve import seconds
from tools.peers.serve import serve
from tools.peers.torch_resnet import Encoder

DIM, M, T = 128, 0.999, 0.2
FEW = 4  # images on which autocast is tried


class MoCo:
    """The method's state, and a step of it.

    Args:
        encoder: f_q, `[n, 3, H, W]` to `[n, dim]`.
        K: keys in the queue.
        bfloat16: run the encoders under autocast.
    """

    def __init__(self, encoder, K, bfloat16):
        self.encoder_q = encoder.to(memory_format=torch.channels_last).train()
        self.encoder_k = copy.deepcopy(self.encoder_q).requires_grad_(False)
        self.theta_q, self.theta_k = ([*e.parameters()] for e in (self.encoder_q, self.encoder_k))
        self.sgd = torch.optim.SGD(self.theta_q, lr=0.03, momentum=0.9, weight_decay=1e-4, fused=True)
        self.queue = F.normalize(torch.randn(K, DIM))
        self.pointer = 0
        self.bfloat16 = bfloat16

    def step(self, x_q, x_k):
        """One step on channels-last views `[n, 3, H, W]`; returns the loss."""
        with torch.no_grad():
            torch._foreach_lerp_(self.theta_k, self.theta_q, 1 - M)
            k = self.encode(self.encoder_k, x_k)
        q = self.encode(self.encoder_q, x_q)
        loss = info_nce(q, k, self.queue)
        self.sgd.zero_grad(set_to_none=True)
        loss.backward()
        self.sgd.step()
        rows = (self.pointer + torch.arange(len(k))) % len(self.queue)
        self.queue.index_copy_(0, rows, k)
        self.pointer = (self.pointer + len(k)) % len(self.queue)
        return loss.item()

    def encode(self, encoder, x):
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            z = encoder(x)
        return F.normalize(z.float())


def info_nce(q, k, queue):
    """Returns the loss of queries and keys `[n, dim]` against the queue `[K, dim]`."""
    q = q / T
    positive = (q * k).sum(1)
    log_sum = torch.logaddexp(positive, torch.logsumexp(q @ queue.T, 1))
    return (log_sum - positive).mean()


def autocast_is_faster(moco, views):
    """Returns whether steps on a few of the views are; the model has taken steps of both kinds then.

    A CPU without instructions for bfloat16 takes fifteen times as long under autocast as in float32.
    """
    few = [view[:FEW] for view in views]

    def fastest(bfloat16):
        moco.bfloat16 = bfloat16
        return min(seconds(lambda: moco.step(*few)) for _ in range(2))

    return fastest(bfloat16=True) < fastest(bfloat16=False)


def main():
    options = json.loads(sys.argv[1])
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    base_mb = resident_mb()
    libc = ctypes.CDLL(None)
    libc.mallopt(-1, -1)  # M_TRIM_THRESHOLD
    libc.mallopt(-4, 0)  # M_MMAP_MAX
    torch.manual_seed(0)
    moco = MoCo(Encoder(options["arch"], DIM), options["moco_k"], bfloat16=False)
    shape = (options["batch_size"], 3, options["image_size"], options["image_size"])
    views = [torch.randn(shape).contiguous(memory_format=torch.channels_last) for _ in range(2)]

    moco.bfloat16 = options["precision"] == "mixed_bfloat16" and autocast_is_faster(moco, views)

    def steps(count):
        return seconds(lambda: moco.step(*views), count)

    def begin(count):
        steps(count)
        arithmetic = "bfloat16" if moco.bfloat16 else "float32"
        return {"base_mb": base_mb, "peak_mb": resident_mb("VmHWM"), "arithmetic": arithmetic}

    serve({"begin": begin, "times": lambda count: {"step": steps(count)}})


if __name__ == "__main__":
    main()
