"""The backbone in other frameworks' files, read by those frameworks, or by the oracles of them."""

import os
import pickle
import sys

import keras_hub as keras_hub_library
import numpy as np
import pytest
import tensorflow as tf
import torch

from mocotf.errors import UserError
from mocotf.interop import detectron2
from mocotf.interop import keras_hub
from mocotf.interop import model_garden
from mocotf.interop import onnx
from mocotf.interop import torchvision
from mocotf.interop.output import difference
from mocotf.interop.torch_names import read_state
from mocotf.moco.saved_run import open_run
from tests.interop import support
from tests.oracles import model_garden_resnet as garden
from tests.oracles import torch_resnet
from tests.oracles.torch_checkpoint import convert_to_detectron2

GOLDEN = os.path.join(os.path.dirname(__file__), "golden", "model_garden.npz")

run = support.fixture_of_run()
deep_run = support.fixture_of_run(arch="resnet50")
wide_run = support.fixture_of_run(width="1.0", arch="resnet18", mlp="false")


def test_torchvision_takes_the_state_dictionary(run, tmp_path, caplog):
    path = str(tmp_path / "resnet.pth")
    torchvision.write(open_run(run), path)
    assert "its ResNet has to be changed" in caplog.text  # of another width
    blocks = torch_resnet.BasicBlock, (1, 1, 1, 1)
    network = torch_resnet.ResNet(*blocks, base=16, dim=1000, bn_groups=None)
    assert_same_features(network, path, run)
    assert list(torch.load(path, weights_only=True)) == list(network.state_dict())  # in its order


def assert_same_features(network, path, run):
    """Loads a file into PyTorch's network, takes its classifier off, compares the features."""
    found = network.eval().load_state_dict(torch.load(path, weights_only=True), strict=False)
    assert found.missing_keys == ["fc.weight", "fc.bias"] and not found.unexpected_keys
    network.fc = torch.nn.Identity()
    images, features, _ = support.reference(run)
    with torch.no_grad():
        there = network(torch.from_numpy(support.views(run, images)).permute(0, 3, 1, 2))
    assert support.relative(there.numpy(), features) < 1e-5


@pytest.mark.parametrize("which", ["run", pytest.param("deep_run", marks=pytest.mark.slow)])
def test_detectron2_gets_what_the_originals_converter_makes(request, tmp_path, which):
    run = request.getfixturevalue(which)
    path = tmp_path / "backbone.pkl"
    detectron2.write(open_run(run), str(path))
    content = path.read_bytes()
    found = pickle.loads(content, encoding="latin1")  # as detectron2's checkpointer
    assert found["matching_heuristics"] is True and found["__author__"] == "mocotf"
    state = read_state(open_run(run).encoder())
    original = {f"module.encoder_q.{name}": torch.from_numpy(v) for name, v in state.items()}
    expected = convert_to_detectron2(original)["model"]
    expected = {name: value for name, value in expected.items() if not name.startswith("stem.fc")}
    assert found["model"].keys() == expected.keys()
    for name, value in found["model"].items():
        assert value.flags.writeable and value.dtype == np.float32
        torch.from_numpy(value)  # as detectron2 does
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
    assert detectron2.read_file(str(path))["model"].keys() == expected.keys()
    assert b"numpy._core" not in content, "NumPy 1 would not read it"


def test_code_in_a_pickle_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "ran"),))

    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps({"model": {"a": Evil()}}))
    with pytest.raises(UserError, match="names posix.mkdir, which is no array"):
        detectron2.read_file(str(path))
    assert not (tmp_path / "ran").exists()
    path.write_bytes(b"hello")
    with pytest.raises(UserError, match="cannot be read as a pickle of arrays"):
        detectron2.read_file(str(path))


@pytest.mark.slow
def test_keras_hub_has_the_same_weights_and_features(wide_run, tmp_path):
    path = str(tmp_path / "preset")
    assert keras_hub.write(open_run(wide_run), path)["max_difference"] < 1e-5
    backbone = keras_hub_library.models.ResNetBackbone.from_preset(path)
    mine = open_run(wide_run).encoder().backbone
    assert len(mine.variables) == len(backbone.variables)
    for layer in mine.layers:
        for variable in layer.variables:
            theirs = backbone.get_layer(keras_hub.name_of(layer.name))
            (theirs,) = [v for v in theirs.variables if v.name == variable.name]
            np.testing.assert_array_equal(theirs.numpy(), variable.numpy(), err_msg=variable.path)
    images, features, _ = support.reference(wide_run)
    there = backbone(support.views(wide_run, images)).numpy().mean((1, 2))
    assert support.relative(there, features) < 1e-5


def test_keras_hubs_retinanet_stands_on_the_backbone(wide_run):
    backbone = keras_hub.build(open_run(wide_run))
    pyramid = keras_hub_library.models.RetinaNetBackbone(
        image_encoder=backbone, min_level=3, max_level=5, use_p5=False, image_shape=(64, 64, 3)
    )
    images = np.random.default_rng(0).normal(size=(1, 64, 64, 3)).astype(np.float32)
    sides = {level: maps.shape[1] for level, maps in pyramid(images).items()}
    assert sides == {"P3": 8, "P4": 4, "P5": 2}
    inside = pyramid.image_encoder.get_layer("conv1_conv").kernel
    mine = open_run(wide_run).encoder().backbone.get_layer("conv1").kernel
    np.testing.assert_array_equal(inside.numpy(), mine.numpy())


@pytest.mark.parametrize("arch", ["resnet18", "resnet50"])
def test_the_oracle_of_model_garden_is_as_the_library_itself(tmp_path, arch):
    oracle = garden.model_garden_resnet(arch)
    checkpoint = tf.train.Checkpoint(backbone=oracle)
    prefix = checkpoint.write(str(tmp_path / "ckpt"))
    shapes = garden.fill(prefix)
    checkpoint.read(prefix).assert_consumed()
    with np.load(GOLDEN) as golden:
        assert [f"{n} {list(shape)}" for n, shape in shapes.items()] == golden[f"{arch}_names"].tolist()
        assert support.relative(oracle(garden.some_views()), golden[f"{arch}_features"]) < 1e-5


def test_a_checkpoint_for_model_garden_has_all_that_the_librarys_own_have(wide_run, tmp_path):
    path = str(tmp_path / "backbone")
    model_garden.write(open_run(wide_run), path)
    found = [f"{n} {list(shape)}" for n, shape in sorted(tf.train.list_variables(path))]
    with np.load(GOLDEN) as golden:
        assert [line for line in found if "VALUE" in line] == golden["resnet18_names"].tolist()
    with pytest.raises(UserError, match="backbone.*: exists; expected the name of a new checkpoint"):
        model_garden.write(open_run(wide_run), path)


@pytest.mark.slow
@pytest.mark.parametrize(("which", "arch"), [("run", "resnet10"), ("deep_run", "resnet50")])
def test_model_garden_finds_every_weight(request, tmp_path, which, arch):
    run = request.getfixturevalue(which)
    path = str(tmp_path / "backbone")
    model_garden.write(open_run(run), path)
    backbone = garden.model_garden_resnet(arch, width=0.25)
    checkpoint = tf.train.Checkpoint(backbone=backbone)
    checkpoint.read(path).expect_partial().assert_existing_objects_matched()
    given = support.views(run, support.reference(run)[0])
    there = backbone(given).numpy()
    mine = open_run(run).encoder(precision="float32").backbone
    assert support.relative(there, model_garden.same_padding(mine)(given).numpy()) < 1e-5
    assert support.relative(there, mine(given).numpy()) > 1e-3, "the padding does shift features"


@pytest.mark.parametrize(
    ("module", "library", "extra"),
    [
        (keras_hub, "keras_hub", "transfer"), (onnx, "onnxruntime", "onnx"), (onnx, "tf2onnx", "onnx"),
        (torchvision, "torch", "torch"),
    ],
)  # fmt: skip
def test_a_missing_library_is_told_in_one_line(wide_run, tmp_path, monkeypatch, module, library, extra):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UserError, match=rf"{library} is not installed; try: .*\[{extra}\]"):
        module.write(open_run(wide_run), str(tmp_path / "out"))


@pytest.mark.parametrize(
    ("module", "flags", "message"),
    [
        (detectron2, {"stem": "cifar"}, "--stem=cifar: detectron2 has the stem for ImageNet only"),
        (keras_hub, {"stem": "small"}, "--stem=small: KerasHub's"),
        (keras_hub, {}, "--width=0.25: KerasHub's"),
        (model_garden, {"stem": "cifar"}, "--stem=cifar: Model Garden's"),
        (model_garden, {"width": "0.13"}, "--width=0.13: Model Garden's"),
    ],
)
def test_what_a_framework_does_not_have_is_told_in_one_line(tmp_path, module, flags, message):
    run = support.make_run(tmp_path / "run", **flags)
    with pytest.raises(UserError, match=message):
        module.write(open_run(run), str(tmp_path / "out.pkl"))
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("name", ["features", "embedding"])
def test_an_output_that_is_not_finite_is_not_handed_on(name):
    expected = {"features": np.ones([2, 3]), "embedding": np.ones([2, 4])}
    with pytest.raises(UserError, match="differs from the encoder by nan"):
        difference(expected | {name: expected[name] * np.nan}, expected, "file")
