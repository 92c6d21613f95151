"""The maps of Keras models that detection and segmentation take."""

import keras
import pytest

from mocotf.nn.keras_backbones import as_backbone
from mocotf.nn.stages import stages_of
from tests import keras_models


def told(model):
    """Returns name → (name of the layer that puts a stage out, stride)."""
    stages = stages_of(model) or {}
    return {name: (t._keras_history.operation.name, stride) for name, (t, stride) in stages.items()}


def conv(x, strides, name):
    return keras.layers.Conv2D(2, 3, strides, padding="same", name=name)(x)


def test_a_stage_is_the_last_map_of_its_stride():
    stages = told(as_backbone(keras_models.with_stages).model)
    assert {name: stride for name, (_, stride) in stages.items()} == {
        "P2": 4,
        "P3": 8,
        "P4": 16,
        "P5": 32,
    }
    assert list(stages) == ["P2", "P3", "P4", "P5"]
    assert [layer for layer, _ in stages.values()] == [f"re_lu_{i}" for i in (1, 2, 3, 4)]


@pytest.mark.parametrize(("side", "levels"), [(96, "2345"), (48, "234"), (32, "234"), (30, "")])
def test_of_images_of_one_size_it_is_a_stage_where_the_stride_divides_it(side, levels):
    assert list(told(keras_models.with_stages(side))) == [f"P{level}" for level in levels]


def test_what_is_passed_by_is_no_stage():
    images = keras.Input((64, 64, 3))
    x = conv(images, 4, "a")
    y = conv(conv(x, 1, "b"), 2, "c")
    y = keras.layers.Add(name="sum")([y, conv(x, 2, "d")])  # b is within the block
    z = conv(conv(y, 1, "e"), 2, "f")
    up = keras.layers.UpSampling2D(2, name="up")(z)
    joint = keras.layers.Concatenate(name="joint")([up, y])  # y goes past e and f
    assert told(keras.Model(images, joint)) == {"P2": ("a", 4), "P3": ("joint", 8)}
    assert told(keras.Model(images, z)) == {"P2": ("a", 4), "P3": ("e", 8), "P4": ("f", 16)}


def test_a_models_own_pyramid_is_taken_by_its_strides_not_by_its_names():
    images = keras.Input((None, None, 3))
    fine = conv(images, 4, "fine")
    coarse = conv(conv(fine, 1, "later"), 2, "coarse")
    model = keras.Model(images, conv(coarse, 1, "last"))
    model.pyramid_outputs = {"P1": fine, "P2": coarse}  # as KerasHub's MiT names them
    assert told(model) == {"P2": ("fine", 4), "P3": ("coarse", 8)}


def test_sequential_models_have_stages():
    layers = [keras.layers.Conv2D(2, 3, 4, padding="same", name=name) for name in "ab"]
    model = keras.Sequential([keras.Input((None, None, 3)), *layers, keras.layers.GlobalMaxPooling2D()])
    assert told(model) == {"P2": ("a", 4), "P4": ("b", 16)}


@pytest.mark.parametrize("make", [keras_models.subclassed, keras_models.with_dropout])
def test_other_models_have_none(make):
    assert as_backbone(make, image_size=16).stages is None


APPLICATIONS = {
    "MobileNetV2": {"P2": 144, "P3": 192, "P4": 576, "P5": 1280},
    "EfficientNetV2B0": {"P2": 32, "P3": 192, "P4": 672, "P5": 1280},
    "ConvNeXtTiny": {"P2": 96, "P3": 192, "P4": 384, "P5": 768},
    "DenseNet121": {"P2": 128, "P3": 256, "P4": 512, "P5": 1024},
    "Xception": {"P3": 256, "P4": 728, "P5": 2048},
}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "channels"), APPLICATIONS.items())
def test_models_of_keras_applications_have_stages(name, channels):
    model = getattr(keras.applications, name)(include_top=False, weights=None)
    assert {name: tensor.shape[-1] for name, (tensor, _) in stages_of(model).items()} == channels


@pytest.mark.slow
def test_convolutional_networks_of_kerashub_have_stages_and_vision_transformers_have_none():
    import keras_hub

    options = {"stackwise_num_filters": [64] * 4, "stackwise_num_blocks": [1, 1, 1, 1]}
    options |= {"input_conv_filters": [64], "input_conv_kernel_sizes": [7], "block_type": "basic_block"}
    options |= {"stackwise_num_strides": [1, 2, 2, 2], "image_shape": (64, 64, 3)}
    assert list(told(keras_hub.models.ResNetBackbone(**options))) == ["P2", "P3", "P4", "P5"]
    options = {"patch_size": 16, "num_layers": 1, "num_heads": 2, "hidden_dim": 8, "mlp_dim": 8}
    assert not told(keras_hub.models.ViTBackbone(image_shape=(64, 64, 3), **options))
