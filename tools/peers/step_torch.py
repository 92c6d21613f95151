"""MoCo v2's training step in PyTorch, for tools/benchmark_step.py; runs in an environment of its own.

    .venv-peers/bin/python tools/peers/step_torch.py '{"arch": "resnet50", "precision": "float32", …}'

It runs on the GPU where there is one. Each part is the fastest of PyTorch's that we found: weights and
images channels-last, one `lerp` for the momentum update, fused SGD, no backward graph for the keys;
cuDNN's fastest convolutions; on a CPU freed memory kept as by mocotf.training.host, and autocast only
where it is faster than float32. With "compiled": true, `torch.compile` compiles both encoders and the
loss. Loss and queue are float32, as ours. Keys are not shuffled, and no accuracy is computed.
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
UNTIMED = 2  # steps before those that are timed, where others have had the device meanwhile


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
        self.device = self.theta_q[0].device
        self.queue = F.normalize(torch.randn(K, DIM, device=self.device))
        self.pointer = 0
        self.bfloat16 = bfloat16
        self.update_sgd = self.sgd.step

    def compile(self, mode=None):
        """Has `torch.compile` compile all of a step, at the first one, in one of its modes."""
        self.forward = torch.compile(self.forward, fullgraph=True, dynamic=False, mode=mode)
        self.update_keys = torch.compile(self.update_keys, fullgraph=True, dynamic=False)
        self.update_sgd = torch.compile(self.sgd.step, dynamic=False)

    def step(self, x_q, x_k):
        """One step on channels-last views `[n, 3, H, W]`; returns the loss, a tensor."""
        self.update_keys()
        loss, k = self.forward(x_q, x_k, self.queue)
        self.sgd.zero_grad(set_to_none=True)
        loss.backward()
        self.update_sgd()
        rows = (self.pointer + torch.arange(len(k), device=self.device)) % len(self.queue)
        self.queue.index_copy_(0, rows, k)
        self.pointer = (self.pointer + len(k)) % len(self.queue)
        return loss.detach()

    @torch.no_grad()
    def update_keys(self):
        torch._foreach_lerp_(self.theta_k, self.theta_q, 1 - M)

    def forward(self, x_q, x_k, queue):
        """Returns the loss and the keys, `[n, dim]`."""
        with torch.no_grad():
            k = self.encode(self.encoder_k, x_k)
        return info_nce(self.encode(self.encoder_q, x_q), k, queue), k

    def encode(self, encoder, x):
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
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


def make(options):
    """Returns the model that the options describe, and its two views, on the device."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(0)
    encoder = Encoder(options["arch"], DIM).to(device)
    moco = MoCo(encoder, options["moco_k"], bfloat16=options["precision"] == "mixed_bfloat16")
    shape = (options["batch_size"], 3, options["image_size"], options["image_size"])
    views = torch.randn(2, *shape, device=device)
    return moco, [view.contiguous(memory_format=torch.channels_last) for view in views]


def keep_freed_memory():
    libc = ctypes.CDLL(None)
    libc.mallopt(-1, -1)  # M_TRIM_THRESHOLD
    libc.mallopt(-4, 0)  # M_MMAP_MAX


def main():
    options = json.loads(sys.argv[1])
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    base_mb = resident_mb()
    keep_freed_memory()
    moco, views = make(options)
    on_gpu = moco.device.type == "cuda"
    if moco.bfloat16 and not on_gpu:
        moco.bfloat16 = autocast_is_faster(moco, views)
    if options.get("compiled"):
        moco.compile(options.get("mode"))
    settle = torch.cuda.synchronize if on_gpu else lambda: None

    def timed(count=1):
        return seconds(lambda: moco.step(*views), count, settle)

    def begin(count):
        first = timed()
        timed(count - 1)
        arithmetic = "bfloat16" if moco.bfloat16 else "float32"
        found = {"base_mb": base_mb, "peak_mb": resident_mb("VmHWM"), "arithmetic": arithmetic}
        if on_gpu:
            found["device_peak_mb"] = torch.cuda.max_memory_allocated() / 1e6
            torch.cuda.empty_cache()  # others want it meanwhile
        return found | {"first_step_seconds": first}

    def steps(count):
        timed(UNTIMED)  # brings the card's clock and memory to where they were
        found = {"seconds": timed(count), "loss": moco.step(*views).item()}
        if on_gpu:
            torch.cuda.empty_cache()
        return found

    serve({"begin": begin, "times": lambda count: {"step": timed(count)}, "steps": steps})


if __name__ == "__main__":
    main()
