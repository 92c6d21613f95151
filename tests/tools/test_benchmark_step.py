"""The program that measures the training step, and that both sides take the same one."""

import sys

import numpy as np
import pytest
import tensorflow as tf
import torch

from mocotf.nn.encoder import build_encoder
from mocotf.nn.kernels import policy
from tests import processes
from tests.oracles import torch_moco
from tests.oracles import torch_resnet
from tests.tiny import maker
from tools.peers import limit
from tools.peers import step_ours
from tools.peers import step_torch
from tools.peers import torch_resnet as peer_resnet

SMALL = ["--arch=resnet10", "--image_size=32", "--moco_k=256", "--batch_size=8"]
STAGES = {"momentum_update", "shuffle", "info_nce", "sgd", "enqueue"}


def measure(*flags):
    # To compile the peer takes a minute or two of an idle machine.
    done = processes.start("tools/benchmark_step.py", "--json", *SMALL, *flags).wait(seconds=3600)
    assert done.code == 0, done
    return done.json


@pytest.mark.slow
def test_ours_alone():
    found = measure("--peer=none", "--precision=float32", "--rounds=2", "--threads=1", "--remat")
    assert found["threads"] == 1 and found["batch_size"] == 8 and found["remat"] is True
    assert "mixed_bfloat16" not in found
    assert "tensorflow" in found["versions"] and "peers" not in found["versions"]
    numbers = found["float32"]
    assert not any(name.startswith(("peer", "ratio")) for name in numbers)
    low, high = numbers["spread"]["images_per_second"].values()
    assert 0 < low <= numbers["images_per_second"] <= high
    assert numbers["overhead"] < 1
    assert 0 < numbers["base_mb"] < numbers["peak_mb"]
    assert numbers["stages_ms"].keys() == STAGES and min(numbers["stages_ms"].values()) > 0
    assert min(numbers["limit"].values()) > 0
    assert numbers["arithmetic"] == "float32"


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_beside_the_peer_and_the_compiled_peer():
    peers = f"--peers_python={sys.executable}", "--compiled_peer"
    found = measure(*peers, "--rounds=1", "--steps=2")
    assert found["versions"]["peers"].keys() == {"torch"}
    for numbers in (found["float32"], found["mixed_bfloat16"]):
        sides = "", "peer_", "compiled_peer_"
        speed, peer, compiled = (numbers[f"{side}images_per_second"] for side in sides)
        assert numbers["ratio"] == pytest.approx(speed / peer)
        assert compiled > 0 and numbers["compiled_ratio"] == pytest.approx(speed / compiled)
        assert numbers["compiled_peer_first_step_seconds"] > numbers["peer_first_step_seconds"]
        assert 0 < numbers["peer_base_mb"] < numbers["peer_peak_mb"]
        gigaflops = numbers["limit"]["step_gflop"] * speed / 8
        assert numbers["limit"]["achieved_gflops"] == pytest.approx(gigaflops)
    assert found["mixed_bfloat16"]["arithmetic"] == policy.arithmetic(tf.bfloat16).name
    # The faster; here it may be either.
    assert found["mixed_bfloat16"]["peer_arithmetic"] in {"float32", "bfloat16"}


@pytest.mark.slow
def test_bare_passes_compute_all_gradients_and_change_no_weight():
    bench = step_ours.Bench("resnet10", 256, batch_size=8, image_size=32, precision="float32")
    theta_q = bench.model.query_encoder.trainable_variables
    before = [v.numpy() for v in theta_q]
    keys, gradients = bench.bare()
    assert keys.shape == (8, 128) and len(gradients) == len(theta_q)
    assert min(np.abs(g).max() for g in gradients) > 0
    assert all(np.array_equal(a, v) for a, v in zip(before, theta_q, strict=True))
    assert np.isfinite(bench.step()) and bench.model.step == 1
    assert not any(np.array_equal(a, v) for a, v in zip(before, theta_q, strict=True))


@pytest.mark.parametrize("arch", ["resnet10", "resnet50"])
def test_networks_of_both_sides_have_the_same_size(arch):
    with torch.device("meta"):
        peer = peer_resnet.Encoder(arch, 128)
    tensors = [*peer.parameters(), *(b for name, b in peer.named_buffers() if "running" in name)]
    with tf.Graph().as_default():  # makes no values
        ours = build_encoder(maker(arch), dim=128, mlp=True)
        assert sum(int(np.prod(v.shape)) for v in ours.variables) == sum(t.numel() for t in tensors)


def test_peer_takes_the_step_of_the_paper():
    torch.manual_seed(0)
    encoder = peer_resnet.Encoder("resnet10", 128)
    blocks = torch_resnet.BasicBlock, (1, 1, 1, 1)
    reference = torch_resnet.ResNet(*blocks, dim=128, mlp=True, bn_groups=None)
    with torch.no_grad():
        for a, b in zip(reference.parameters(), encoder.parameters(), strict=True):
            a.copy_(b)
    peer = step_torch.MoCo(encoder, 100, bfloat16=False)
    oracle = torch_moco.MoCoOracle(reference, peer.queue, m=step_torch.M, T=step_torch.T)
    for _ in range(2):
        views = torch.randn(2, 64, 3, 32, 32)
        loss, _ = oracle.step(*views, lr=0.03, permutation=range(64))
        assert peer.step(*views).item() == pytest.approx(loss.item(), rel=1e-4)
    assert peer.pointer == oracle.queue_ptr == 28
    torch.testing.assert_close(peer.queue, oracle.queue, rtol=0, atol=1e-3)
    torch.testing.assert_close([*peer.theta_q], [*oracle.encoder_q.parameters()], rtol=0, atol=1e-3)
    torch.testing.assert_close([*peer.theta_k], [*oracle.encoder_k.parameters()], rtol=0, atol=1e-6)


def test_a_step_is_four_forward_passes():
    encoder = build_encoder(maker("resnet18"), dim=128, mlp=True)
    images = tf.TensorSpec([3, 224, 224, 3])
    assert limit.step_gflop(encoder, images) == pytest.approx(3 * 4 * 2 * 1.8136, rel=1e-3)
