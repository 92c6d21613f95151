"""Encoders against the oracle's torchvision-style networks."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

from mocotf.interop.torch_names import write_state
from mocotf.nn.encoder import build_encoder
from mocotf.nn.resnet import resnet
from tests.measured import agree
from tests.moco.both import to_numpy
from tests.oracles.torch_checkpoint import randomise
from tests.oracles.torch_resnet import resnet as torch_resnet


def count(variables):
    return sum(int(np.prod(v.shape)) for v in variables)


def test_parameter_counts_are_the_published_ones():
    assert count(resnet("resnet50").trainable_variables) == 23_508_032
    assert count(build_encoder("resnet50").trainable_variables) == 23_770_304
    assert count(build_encoder("resnet50", mlp=True).trainable_variables) == 27_966_656
    assert len(resnet("resnet50").trainable_variables) == 53 + 2 * 53  # convolutions; γ and β


@pytest.mark.parametrize(
    ("arch", "millions"),
    [("resnet18", 11.18), ("resnet34", 21.28), ("resnet101", 42.50), ("resnet152", 58.14)],
)
def test_backbones_have_torchvisions_size(arch, millions):
    assert round(count(resnet(arch).trainable_variables) / 1e6, 2) == millions


@pytest.mark.parametrize(("width", "millions"), [(2, 94), (4, 375)])
def test_wide_resnets_have_the_papers_size(width, millions):
    assert round(count(resnet("resnet50", width=width).trainable_variables) / 1e6) == millions


CASES = [
    ("resnet18", "imagenet", (224, 224), "float32"),
    ("resnet18", "imagenet", (225, 193), "float32"),
    ("resnet18", "cifar", (32, 32), "float32"),
    ("resnet50", "imagenet", (224, 224), "float32"),
    ("resnet50", "imagenet", (225, 193), "float32"),
    # A hundred training-mode layers multiply the rounding of float32 sums: PyTorch's own float32
    # features are 9e-5 from its float64 ones here, ours 3e-4. In float64 the two agree to 1e-12.
    ("resnet101", "imagenet", (224, 224), "float64"),
    ("resnet101", "imagenet", (225, 193), "float64"),
]


@pytest.mark.parametrize(("arch", "stem", "size", "dtype"), CASES)
def test_features_are_torchvisions_in_training_and_inference(arch, stem, size, dtype):
    keras.config.set_dtype_policy(dtype)
    theirs = torch_resnet(arch, stem=stem, mlp=True).to(getattr(torch, dtype))
    randomise(theirs, seed=1)
    ours = build_encoder(arch, stem=stem, mlp=True)
    write_state(ours, to_numpy(theirs.state_dict()))
    x = np.random.default_rng(0).normal(size=(4, *size, 3)).astype(dtype)
    x_torch = torch.from_numpy(x.transpose(0, 3, 1, 2).copy())
    for training in (False, True):
        theirs.train(training)
        with torch.no_grad():
            expected = theirs.features(x_torch).numpy()
        features = ours.backbone(tf.constant(x), training=training).numpy()
        difference = np.abs(features - expected).max() / np.abs(expected).max()
        mode = "training" if training else "inference"
        agree(
            f"encoder: {arch} features, {stem} stem, {size[0]}×{size[1]}, {mode}, {dtype}",
            difference,
            {"float32": 1e-4, "float64": 1e-10}[dtype],
        )


def test_resnet101_features_in_float32_inference():
    theirs = torch_resnet("resnet101").eval()
    randomise(theirs, seed=1)
    ours = build_encoder("resnet101")
    write_state(ours, to_numpy(theirs.state_dict()))
    x = np.random.default_rng(0).normal(size=(2, 224, 224, 3)).astype(np.float32)
    with torch.no_grad():
        expected = theirs.features(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())).numpy()
    difference = np.abs(ours.backbone(tf.constant(x)).numpy() - expected).max()
    agree(
        "encoder: resnet101 features, imagenet stem, 224×224, inference, float32",
        difference / np.abs(expected).max(),
        1e-4,
    )


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


@pytest.mark.parametrize("mlp", [False, True])
def test_heads_start_as_pytorchs_linear_layers(mlp):
    for layer in build_encoder("resnet50", mlp=mlp).head.layers:
        if hasattr(layer, "kernel"):
            bound = layer.kernel.shape[0] ** -0.5
            for values in (layer.kernel.numpy(), layer.bias.numpy()):
                assert np.abs(values).max() <= bound * (1 + 1e-6)
                assert np.abs(values).max() > 0.95 * bound
                np.testing.assert_allclose(values.std(), bound / np.sqrt(3), rtol=0.15)
            np.testing.assert_allclose(layer.kernel.numpy().std(), bound / np.sqrt(3), rtol=0.01)


def test_embeddings_have_unit_length():
    embeddings = build_encoder("resnet10", width=0.125, dim=16)(tf.ones([3, 32, 32, 3]))
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-6)
