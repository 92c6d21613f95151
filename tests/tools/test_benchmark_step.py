"""The program that measures the training step, and that both sides take the same one."""

import functools
import sys

import numpy as np
import pytest
import tensorflow as tf
import torch

from mocotf.nn import hot
from mocotf.nn.encoder import build_encoder
from tests.oracles import torch_moco
from tests.oracles import torch_resnet
from tests.tools.support import run_tool
from tools.peers import limit
from tools.peers import step_ours
from tools.peers import step_torch
from tools.peers import torch_resnet as peer_resnet

SMALL = ["--arch=resnet10", "--image_size=32", "--moco_k=256", "--batch_size=8"]
STAGES = {"momentum_update", "shuffle", "info_nce", "sgd", "enqueue"}


run = functools.partial(run_tool, "benchmark_step.py", *SMALL)


@pytest.mark.slow
def test_ours_alone():
    options = "--precision=float32", "--rounds=2", "--threads=1", "--remat"
    code, found, err = run("--peer=none", *options)
    assert code == 0, err
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
def test_beside_the_peer():
    peer = f"--peers_python={sys.executable}"
    code, found, err = run(peer, "--precision=mixed_bfloat16", "--rounds=1", "--steps=2")
    assert code == 0, err
    assert found["versions"]["peers"].keys() == {"torch"}
    numbers = found["mixed_bfloat16"]
    speeds = numbers["images_per_second"], numbers["peer_images_per_second"]
    assert numbers["ratio"] == pytest.approx(speeds[0] / speeds[1])
    assert 0 < numbers["peer_base_mb"] < numbers["peer_peak_mb"]
    assert numbers["arithmetic"] == hot.arithmetic(tf.bfloat16).name
    assert numbers["peer_arithmetic"] in {"float32", "bfloat16"}  # the faster; here it may be either
    assert numbers["limit"]["achieved_gflops"] == pytest.approx(
        numbers["limit"]["step_gflop"] * speeds[0] / 8
    )


@pytest.mark.slow
def test_the_compiled_peer_is_a_side_of_its_own():
    peer = f"--peers_python={sys.executable}", "--compiled_peer"
    code, found, err = run(*peer, "--precision=float32", "--rounds=1")
    assert code == 0, err
    numbers = found["float32"]
    speed = numbers["compiled_peer_images_per_second"]
    assert (
        speed > 0 and numbers["compiled_peer_first_step_seconds"] > numbers["peer_first_step_seconds"]
    )
    assert numbers["compiled_ratio"] == pytest.approx(numbers["images_per_second"] / speed)


@pytest.mark.parametrize(
    ("flag", "advice"),
    [
        ("--peers_python=/nowhere/python", "or --peer=none to measure ours alone"),
        ("--threads=4096", "the cores that there are"),
        ("--moco_k=4", "smaller than the 8 keys enqueued a step"),
    ],
)
def test_mistakes_take_one_line(flag, advice):
    code, found, err = run(flag)
    assert code == 1 and found is None
    assert flag in err and advice in err
    assert len(err.splitlines()) == 1


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
        peer = sum(p.numel() for p in peer_resnet.Encoder(arch, 128).parameters())
    assert build_encoder(arch, dim=128, mlp=True).count_params() - peer == moving_statistics(arch)


def moving_statistics(arch):
    with torch.device("meta"):
        buffers = peer_resnet.Encoder(arch, 128).named_buffers()
    return sum(b.numel() for name, b in buffers if "running" in name)


def test_peer_takes_the_step_of_the_paper():
    torch.manual_seed(0)
    encoder = peer_resnet.Encoder("resnet10", 128)
    reference = torch_resnet.ResNet(
        torch_resnet.BasicBlock, (1, 1, 1, 1), dim=128, mlp=True, bn_groups=None
    )
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
    for a, b in zip(peer.theta_q, oracle.encoder_q.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-3)
    for a, b in zip(peer.theta_k, oracle.encoder_k.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


def test_a_step_is_four_forward_passes():
    encoder = build_encoder("resnet18", dim=128, mlp=True)
    images = tf.TensorSpec([3, 224, 224, 3])
    assert limit.step_gflop(encoder, images) == pytest.approx(3 * 4 * 2 * 1.8136, rel=1e-3)
