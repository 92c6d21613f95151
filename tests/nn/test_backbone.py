"""Backbones by name."""

import keras
import numpy as np
import pytest

from mocotf.errors import UserError
from mocotf.nn.backbone import build_backbone
from mocotf.serving.folding import fold


def stock(name="c", **_):
    """Returns a backbone of Keras's own layers, one of them named as is said."""
    images = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, name=name)(images)
    x = keras.layers.BatchNormalization(name="n")(x)
    return keras.Model(images, keras.layers.GlobalAveragePooling2D()(x))


def nameless(**_):
    return stock(None)


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        ("no_such_module:f", "No module named 'no_such_module'; expected <resnet10|"),
        (f"{__name__}:nothing", "has no attribute 'nothing'"),
        (".relative:f", "expected <resnet10|"),
        (f"{__name__}:nameless", "its layer conv2d.* has no name of its own, .* expected name="),
    ],
)
def test_what_is_no_backbone_is_told_in_one_line(arch, message):
    with pytest.raises(UserError, match=message.replace("|", "[|]")) as error:
        build_backbone(arch)
    assert "\n" not in str(error.value)


def test_layers_of_keras_are_folded_into_nothing_and_kept():
    backbone = build_backbone(f"{__name__}:stock")
    for variable in backbone.variables:
        variable.assign(np.random.default_rng(0).uniform(0.5, 1.5, variable.shape))
    images = np.random.default_rng(1).normal(size=(2, 8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(fold(backbone)(images), backbone(images), rtol=1e-5)
