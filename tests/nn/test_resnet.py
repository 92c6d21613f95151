"""Encoders against the oracle's torchvision-style networks."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

from mocotf.interop.torch_names import write_state
from mocotf.nn.encoder import build_encoder
from mocotf.nn.heads import linear_head
from mocotf.nn.heads import mlp_head
from mocotf.nn.resnet import resnet
from tests.measured import agree
from tests.moco.both import relative
from tests.moco.both import to_numpy
from tests.oracles.small import to_torch
from tests.oracles.torch_checkpoint import randomise
from tests.oracles.torch_resnet import resnet as torch_resnet
from tests.tiny import maker


def count(make):
    """Returns the trainable parameters of what `make()` returns, without making their values."""
    with tf.Graph().as_default():
        return sum(int(np.prod(v.shape)) for v in make().trainable_variables)


def test_images_of_other_channels_change_the_first_convolution_only():
    rgb, wide = (resnet("resnet10", width=1 / 8, channels=channels) for channels in (3, 13))
    assert wide.input_shape == (None, None, None, 13)
    shapes = [
        (a.path, a.shape) for a, b in zip(wide.weights, rgb.weights, strict=True) if a.shape != b.shape
    ]
    assert shapes == [("conv1/kernel", (7, 7, 13, 8))]


def test_parameter_counts_are_the_published_ones():
    assert count(lambda: resnet("resnet50")) == 23_508_032
    assert count(lambda: linear_head(2048, 128)) == 23_770_304 - 23_508_032
    assert count(lambda: build_encoder(maker("resnet50"), mlp=True)) == 27_966_656


@pytest.mark.parametrize(  # the MoCo paper has 94 and 375 for the wide ones
    ("arch", "width", "millions"),
    [
        ("resnet18", 1, 11.18), ("resnet34", 1, 21.28), ("resnet50", 2, 93.91),
        *(pytest.param(*large, marks=pytest.mark.slow) for large in (
            ("resnet101", 1, 42.50), ("resnet152", 1, 58.14), ("resnet50", 4, 375.38),
        )),
    ],
)  # fmt: skip
def test_backbones_have_torchvisions_size_and_wide_ones_the_papers(arch, width, millions):
    assert round(count(lambda: resnet(arch, width=width)) / 1e6, 2) == millions


# Small, to be quick, and as large as they are trained on. A hundred training-mode layers multiply the
# rounding of float32 sums: PyTorch's own float32 features of ResNet-101 are 9e-5 from its float64
# ones at 224 pixels, ours 3e-4. In float64 the two agree to 1e-12, so it is trained in that alone.
CASES = [
    ("resnet18", "cifar", (16, 16), "float32"),
    ("resnet18", "imagenet", (65, 49), "float32"),
    ("resnet50", "imagenet", (64, 64), "float64"),
]
FULL = [("resnet18", "cifar", (32, 32), "float32"), ("resnet101", "imagenet", (224, 224), "float32")]
LARGE = [("resnet18", "float32"), ("resnet50", "float32"), ("resnet101", "float64")]
FULL += [(arch, "imagenet", size, dtype) for arch, dtype in LARGE for size in ((224, 224), (225, 193))]
RUNS = [*CASES, *(pytest.param(*case, marks=pytest.mark.slow) for case in FULL)]


@pytest.mark.parametrize(("arch", "stem", "size", "dtype"), RUNS)
def test_features_are_torchvisions_in_training_and_inference(arch, stem, size, dtype):
    keras.config.set_dtype_policy(dtype)
    theirs = torch_resnet(arch, stem=stem, mlp=True).to(getattr(torch, dtype))
    randomise(theirs, seed=1)
    ours = build_encoder(maker(arch, stem=stem), mlp=True)
    write_state(ours, to_numpy(theirs.state_dict()))
    x = np.random.default_rng(0).normal(size=(4, *size, 3)).astype(dtype)
    modes = {"inference": False, "training": True}
    if (arch, dtype) == ("resnet101", "float32"):
        del modes["training"]
    for mode, training in modes.items():
        theirs.train(training)
        with torch.no_grad():
            expected = theirs.features(to_torch(x)).numpy()
        features = ours.backbone(tf.constant(x), training=training).numpy()
        quantity = f"encoder: {arch} features, {stem} stem, {size[0]}×{size[1]}, {mode}, {dtype}"
        agree(quantity, relative(features, expected), {"float32": 1e-4, "float64": 1e-10}[dtype])


def test_convolutions_start_he_normal_over_fan_out_and_batch_norm_at_identity():
    for layer in resnet("resnet18").layers:
        if hasattr(layer, "kernel") and layer.kernel.shape[-1] >= 128:
            kernel = layer.kernel.numpy()
            expected = np.sqrt(2 / (kernel.shape[0] * kernel.shape[1] * kernel.shape[3]))
            np.testing.assert_allclose(kernel.std(), expected, rtol=0.02)
            # Not cut off at two standard deviations, where 4.55 % of a normal distribution lie.
            assert 0.04 < np.mean(np.abs(kernel) > 2 * expected) < 0.051
        if hasattr(layer, "gamma"):
            assert np.all(layer.gamma.numpy() == 1) and np.all(layer.beta.numpy() == 0)


def test_a_stem_may_start_as_pytorchs_own_convolutions():
    bound = 27**-0.5
    kernel = resnet("resnet10", stem="cifar", stem_init="torch").get_layer("conv1").kernel.numpy()
    assert np.abs(kernel).max() <= bound and np.std(kernel) == pytest.approx(bound / 3**0.5, rel=0.05)


@pytest.mark.parametrize("head", [linear_head, mlp_head])
def test_heads_start_as_pytorchs_linear_layers(head):
    for layer in head(2048, 128).layers:
        if hasattr(layer, "kernel"):
            bound = layer.kernel.shape[0] ** -0.5
            for values in (layer.kernel.numpy(), layer.bias.numpy()):
                assert np.abs(values).max() <= bound * (1 + 1e-6)
                assert np.abs(values).max() > 0.95 * bound
                np.testing.assert_allclose(values.std(), bound / np.sqrt(3), rtol=0.15)
            np.testing.assert_allclose(layer.kernel.numpy().std(), bound / np.sqrt(3), rtol=0.01)


def test_embeddings_have_unit_length():
    embeddings = build_encoder(maker(), dim=16)(tf.ones([3, 8, 8, 3]))
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-6)
