"""Batch norm folded into convolutions."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mocotf.nn.batch_norm import BatchNorm
from mocotf.nn.resnet import resnet
from mocotf.serving.folding import fold


def trained(arch, stem):
    """Returns a backbone whose weights and statistics are none that it starts with, and images."""
    backbone = resnet(arch, width=0.125, stem=stem)
    rng = np.random.default_rng(0)
    for variable in backbone.variables:
        scale, shift = rng.uniform(0.5, 1.5, variable.shape), rng.uniform(-0.1, 0.1, variable.shape)
        variable.assign(variable * scale + shift)
    return backbone, rng.normal(size=(3, 48, 48, 3)).astype(np.float32)


@pytest.mark.parametrize(("arch", "stem"), [("resnet10", "small"), ("resnet50", "imagenet")])
def test_the_folded_backbone_computes_the_same(arch, stem):
    backbone, images = trained(arch, stem)
    folded = fold(backbone)
    expected, found = (f(images, training=False).numpy() for f in (backbone, folded))
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
    assert not any(isinstance(layer, BatchNorm) for layer in folded.layers)


@pytest.mark.parametrize("layer", ["bn1", "layer2.0.bn1", "layer2.0.bn2", "layer2.0.downsample.1"])
def test_every_statistic_and_affine_parameter_counts(layer):
    backbone, images = trained("resnet10", "small")
    expected = fold(backbone)(images).numpy()
    variables = backbone.get_layer(layer).variables
    assert len(variables) == 4
    for variable in variables:
        kept = variable.numpy()
        variable.assign(kept * 2 + 1)
        assert not np.allclose(fold(backbone)(images).numpy(), expected), variable.path
        variable.assign(kept)


def test_folded_in_bfloat16_it_stays_near():
    keras.config.set_dtype_policy("mixed_bfloat16")
    backbone, images = trained("resnet10", "small")
    folded = fold(backbone)
    assert all(variable.dtype == "float32" for variable in folded.variables)
    expected, found = (tf.cast(f(images, training=False), tf.float32) for f in (backbone, folded))
    assert found.dtype == tf.float32 and folded(images).dtype == tf.bfloat16
    assert np.abs(found - expected).max() <= 0.05 * np.abs(expected).max()
