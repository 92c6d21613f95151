"""Backbones by name."""

import keras
import pytest

from mocotf.errors import UserError
from mocotf.nn.backbone import backbone_maker
from mocotf.nn.settings import EncoderSettings


def stock(width=4, image_shape=None, include_top=True):
    """Returns a backbone of Keras's own layers."""
    assert not include_top
    images = keras.Input(image_shape or (None, None, 3))
    x = keras.layers.Conv2D(width, 3)(images)
    return keras.Model(images, keras.layers.GlobalAveragePooling2D()(x))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backbone": "no_such_module:f"}, "No module named 'no_such_module'; expected MODULE:NAME"),
        ({"backbone": f"{__name__}:nothing"}, "has no attribute 'nothing'; expected MODULE:NAME"),
        ({"backbone": "keras.applications:resnet"}, "is not a callable object; expected MODULE:NAME"),
        ({"backbone": ".relative:f"}, "expected MODULE:NAME, such as keras.applications"),
        ({"backbone": "stock"}, "--backbone=stock: expected MODULE:NAME"),
        ({"arch": "resnet19"}, "--arch=resnet19: expected one of resnet10"),
        ({"backbone": f"{__name__}:stock", "backbone_args": "{width:"}, "is no JSON"),
        ({"backbone": f"{__name__}:stock", "backbone_args": "[4]"}, "expected an object in JSON"),
        ({"backbone": f"{__name__}:stock", "backbone_args": '{"depth": 4}'}, "'depth'"),
        ({"backbone_args": "{}"}, "--backbone_args does nothing without --backbone"),
        (
            {"backbone": f"{__name__}:stock", "remat": True},
            "--remat needs a ResNet: resnet10.*; drop",
        ),
    ],
)
def test_what_is_no_backbone_is_told_in_one_line(settings, message):
    with pytest.raises(UserError, match=message) as error:
        settings = EncoderSettings(**settings)
        settings.check()
        backbone_maker(settings)()
    assert "\n" not in str(error.value)


def test_what_a_user_gives_beats_what_is_given_by_default():
    settings = EncoderSettings(backbone=f"{__name__}:stock", backbone_args='{"width": 7}')
    assert backbone_maker(settings, 8)().output_shape == (None, 7)
    assert backbone_maker(settings, 8)().input_shape == (None, 8, 8, 3)
    settings = EncoderSettings(backbone=f"{__name__}:stock", backbone_args='{"image_shape": [9, 9, 3]}')
    assert backbone_maker(settings, 8)().input_shape == (None, 9, 9, 3)


def test_images_of_other_channels_are_told_to_who_asks():
    settings = EncoderSettings(backbone=f"{__name__}:stock")
    assert backbone_maker(settings, 8, 5)().input_shape == (None, 8, 8, 5)
    arguments = '{"alpha": 0.25, "minimalistic": true}'
    settings = EncoderSettings(backbone="keras.applications:MobileNetV3Small", backbone_args=arguments)
    model = backbone_maker(settings, 32, 5)()
    assert model.input_shape == (None, None, None, 5)
    assert keras.layers.Rescaling not in map(type, model.layers), "which is of RGB in 0…255"


def test_a_module_of_the_current_folder_is_found(tmp_path, monkeypatch):
    (tmp_path / "own_backbone.py").write_text(f"from {__name__} import stock as make")
    monkeypatch.chdir(tmp_path)
    settings = EncoderSettings(backbone="own_backbone:make")
    assert backbone_maker(settings, 8)().output_shape == (None, 4)
