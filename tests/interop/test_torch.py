"""Checkpoints of the original's layout, built by the oracle: in, out, and what is refused."""

import argparse
import copy
import functools
import os

import numpy as np
import pytest
import torch

from mocotf.errors import UserError
from mocotf.interop import torch as interop
from mocotf.interop import torch_layouts
from mocotf.interop.torch_names import parameters
from mocotf.interop.torch_names import read_state
from mocotf.moco.config import Config
from tests.moco.both import relative
from tests.moco.both import to_numpy
from tests.oracles.torch_checkpoint import cleaned_file
from tests.oracles.torch_checkpoint import load_training_file
from tests.oracles.torch_checkpoint import randomise
from tests.oracles.torch_checkpoint import training_file
from tests.oracles.torch_moco import MoCoOracle
from tests.oracles.torch_moco import unit_rows
from tests.oracles.torch_resnet import resnet as torch_resnet

K, DIM = 32, 16
ONE = torch.zeros(1)


def trained_oracle(mlp, steps=2):
    """A ResNet-18 MoCo of a quarter of the width after some steps, statistics not trivial."""
    torch.manual_seed(0)
    encoder = randomise(torch_resnet("resnet18", base=16, dim=DIM, mlp=mlp), seed=1)
    oracle = MoCoOracle(encoder, unit_rows(K, DIM, seed=2), m=0.9, T=0.2)
    for step in range(steps):
        x = torch.randn(2, 12, 3, 32, 32)
        oracle.step(x[0], x[1], lr=0.01, permutation=torch.randperm(12))
        assert oracle.queue_ptr == (step + 1) * 12 % K
    return oracle


oracle_of = functools.cache(trained_oracle)  # for reading only


def model_for(content, **more):
    flags = {
        "moco_k": K, "moco_m": 0.9, "moco_t": 0.2, "momentum": 0.9, "weight_decay": 1e-4, "seed": 0,
    }  # fmt: skip
    return Config.of(flags | more | interop.describe(content)).build_model(0.01)


def saved(content, tmp_path):
    path = str(tmp_path / "file.pth.tar")
    torch.save(content, path)
    return interop.read_file(path)


@pytest.mark.parametrize(("mlp", "prefix"), [(False, "module."), (True, "")])
def test_a_training_file_is_read_whole(tmp_path, mlp, prefix):
    oracle = oracle_of(mlp)
    content = saved(training_file(oracle, "resnet18", 2, prefix=prefix), tmp_path)
    found = {"arch": "resnet18", "mlp": mlp, "moco_dim": DIM, "moco_k": K, "width": 0.25}
    assert interop.describe(content).items() >= found.items()
    model = model_for(content)
    assert interop.load(model, content, "file")
    encoders, networks = (model.query_encoder, model.key_encoder), (oracle.encoder_q, oracle.encoder_k)
    for encoder, network in zip(encoders, networks, strict=True):
        state = to_numpy(network.state_dict())
        for name, value in read_state(encoder).items():
            np.testing.assert_array_equal(value, state[name], err_msg=name)
    np.testing.assert_array_equal(model.queue.keys.numpy(), oracle.queue.numpy())
    assert model.queue.pointer.numpy() == oracle.queue_ptr
    names = [name for name, _ in oracle.encoder_q.named_parameters()]
    assert list(parameters(model.query_encoder)) == names
    x = torch.randn(2, 3, 32, 32)
    features = model.query_encoder.backbone(x.permute(0, 2, 3, 1).numpy()).numpy()
    with torch.no_grad():
        expected = oracle.encoder_q.eval().features(x).numpy()
    assert relative(features, expected) < 1e-5


def test_a_run_moves_to_pytorch_and_back_bit_equal(tmp_path):
    oracle = trained_oracle(mlp=True)
    model = model_for(content := saved(training_file(oracle, "resnet18", 2), tmp_path))
    interop.load(model, content, "file")
    model.optimizer.iterations.assign(77)

    path = str(tmp_path / "out.pth.tar")
    dumped = interop.dump(model, "resnet18", 2)
    interop.write_file(dumped, path)
    original = training_file(oracle, "resnet18", 2)
    assert dumped["state_dict"].keys() == original["state_dict"].keys()
    there = trained_oracle(mlp=True, steps=1)
    load_training_file(there, dumped)  # the oracle's own loader: strict names, optimizer too
    x = torch.randn(2, 12, 3, 32, 32)
    a, b = (o.step(x[0], x[1], 0.01, torch.arange(12))[0] for o in (there, oracle))
    assert torch.equal(a, b), "PyTorch goes on as if it had never been away"

    back = model_for(content := interop.read_file(path))
    assert interop.load(back, content, "file") and content["step"] == 77
    back.optimizer.iterations.assign(content["step"])
    for a, b in zip(*(m.variables + m.optimizer.variables for m in (model, back)), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=a.path)
    np.testing.assert_array_equal(model.queue.keys.numpy(), back.queue.keys.numpy())


@pytest.mark.parametrize("prefix", ["module.", ""])
def test_a_released_file_gives_the_query_encoder_and_a_key_encoder_equal_to_it(tmp_path, prefix):
    encoder = oracle_of(True).encoder_q
    content = saved(cleaned_file(encoder, "resnet18", 200, prefix=prefix), tmp_path)
    assert "moco_k" not in interop.describe(content)
    model = model_for(content)
    assert not interop.load(model, content, "file")
    query, key = read_state(model.query_encoder), read_state(model.key_encoder)
    for name, value in to_numpy(encoder.state_dict()).items():
        if not name.endswith("num_batches_tracked"):
            np.testing.assert_array_equal(query[name], value)
            np.testing.assert_array_equal(key[name], value)


def resnet_state(**options):
    return torch_resnet("resnet18", base=16, dim=DIM, **options).state_dict()


def named(prefix, state):
    return {prefix + name: value for name, value in state.items()}


def of_lightly(state):
    """Returns a state as of `nn.Sequential(*list(resnet.children())[:-1])`."""
    numbers = {name: number for number, name in torch_layouts.NUMBERED.items()}
    parts = [(name.partition("."), value) for name, value in state.items() if not name.startswith("fc")]
    return {f"backbone.{numbers[first]}.{rest}": value for (first, _, rest), value in parts}


LAYOUTS = {
    "bare": lambda s: s,
    "arch, epoch": lambda s: {"arch": "resnet18", "epoch": 9, "state_dict": s},
    "a name that is no arch": lambda s: {"arch": "my_net", "state_dict": s},
    "MoCo v3": lambda s: {"state_dict": named("module.base_encoder.", s)},
    "solo-learn": lambda s: {"state_dict": named("backbone.", s) | named("momentum_backbone.", s)},
    "OpenSelfSup": lambda s: {"state_dict": named("backbone.", s) | named("head.", {"fc.weight": ONE})},
    "VISSL": lambda s: {
        "classy_state_dict": {"base_model": {"model": {"trunk": named("_feature_blocks.", s)}}}
    },
    "timm": lambda s: {"state_dict": s, "args": argparse.Namespace(lr=0.03), "best": np.float64(3)},
    "torchgeo's segmentation": lambda s: {"state_dict": named("model.encoder.", s)},
    "torchgeo's BYOL": lambda s: {"state_dict": named("model.backbone.model.", s)},
    "lightly": lambda s: {"state_dict": of_lightly(s)},
    "torch.compile": lambda s: {"model": named("_orig_mod.module.", s)},
    "parameters": lambda s: {n: torch.nn.Parameter(v) for n, v in s.items() if v.is_floating_point()},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_backbones_are_read_as_tools_write_them(tmp_path, layout):
    state = resnet_state()
    content = saved(LAYOUTS[layout](state), tmp_path)
    assert interop.describe(content) == {"arch": "resnet18", "stem": "imagenet", "width": 0.25}
    expected = {name: value for name, value in to_numpy(state).items() if not name.startswith("fc")}
    found = {n: v for n, v in content["backbone"].items() if not n.endswith("num_batches_tracked")}
    assert found.keys() == {name for name in expected if not name.endswith("num_batches_tracked")}
    for name, value in found.items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


def test_safetensors_are_read(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    state, path = resnet_state(), str(tmp_path / "model.safetensors")
    safetensors.save_file(state, path)
    found = interop.read_file(path)["backbone"]
    np.testing.assert_array_equal(found["conv1.weight"], state["conv1.weight"].numpy())
    with open(path, "r+b") as file:
        file.truncate(1000)
    with pytest.raises(UserError, match="model.safetensors: cannot be read as safetensors: "):
        interop.read_file(path)


def test_a_backbone_begins_both_encoders(tmp_path):
    content = saved(LAYOUTS["solo-learn"](state := resnet_state()), tmp_path)
    model = model_for(content)
    head = model.query_encoder.head.get_weights()
    assert not interop.load(model, content, "file")
    for encoder in (model.query_encoder, model.key_encoder):
        conv1 = read_state(encoder)["conv1.weight"]
        np.testing.assert_array_equal(conv1, state["conv1.weight"].numpy())
    np.testing.assert_array_equal(head[0], model.key_encoder.head.get_weights()[0])
    del content["backbone"]["layer3.0.bn1.bias"]
    with pytest.raises(UserError, match=r"file does not fit the model: missing layer3\.0\.bn1\.bias"):
        interop.load(model, content, "file")


@pytest.mark.parametrize("prefix", ["", "backbone.", "encoder."])
def test_of_13_channels_features_are_pytorchs(tmp_path, prefix):
    network = randomise(torch_resnet("resnet18", base=16, inputs=13), seed=1).eval()
    content = saved({"state_dict": named(prefix, network.state_dict())}, tmp_path)
    assert interop.describe(content)["channels"] == 13
    model = model_for(content, mean=(1e3,) * 13, std=(300.0,) * 13)
    assert not interop.load(model, content, "file")
    x = torch.randn(2, 13, 64, 64)
    for encoder in (model.query_encoder, model.key_encoder):
        features = encoder.backbone(x.permute(0, 2, 3, 1).numpy()).numpy()
        with torch.no_grad():
            assert relative(features, network.features(x).numpy()) < 1e-5


def test_of_other_channels_a_run_moves_to_pytorch_and_back(tmp_path):
    network = torch_resnet(
        "resnet18", base=16, dim=DIM, inputs=3
    )  # as many as of RGB, but in other units
    options = {"channels": 3, "mean": (900.0,) * 3, "std": (90.0,) * 3}
    model = model_for(saved(network.state_dict(), tmp_path), **options)
    content = saved(interop.dump(model, "resnet18", 0, channels=3), tmp_path)
    assert interop.describe(content)["channels"] == 3
    back = model_for(content, **options)
    assert interop.load(back, content, "file")
    for a, b in zip(model.variables, back.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=a.path)


def test_rgbs_backbone_is_adapted_and_a_training_state_is_not(tmp_path, caplog):
    content = saved(state := resnet_state(), tmp_path)
    of_4 = {"channels": 4, "mean": (0.0,) * 4, "std": (1.0,) * 4}
    model = model_for(content, **of_4)
    assert not interop.load(model, content, "file") and "is adapted to 4 channels" in caplog.text
    found, R = read_state(model.key_encoder)["conv1.weight"], state["conv1.weight"].numpy()[:, 0]
    np.testing.assert_allclose(found[:, 3], 0.75 * R, rtol=1e-6)
    content = saved(training_file(oracle_of(True), "resnet18", 1), tmp_path)
    with pytest.raises(
        UserError, match=r"encoder_q.conv1.weight has shape \[16, 3, 7, 7\], expected \["
    ):
        interop.load(model_for(content, **of_4), content, "file")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"state_dict": {"patch_embed.weight": ONE, "cls": ONE}},
            "names begin patch_embed.weight, cls: ",
        ),
        ({"conv1.weight": torch.zeros(64, 3, 7, 7)}, r"says no arch, and has stages of \(0, 0, 0, 0\)"),
    ],
)
def test_what_is_no_known_layout_is_told_by_its_names(tmp_path, content, message):
    with pytest.raises(UserError, match=message):
        saved(content, tmp_path)


def broken(change):
    content = copy.deepcopy(training_file(oracle_of(True), "resnet18", 1))
    change(content["state_dict"], content)
    return content


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Returns a model that takes what is not broken."""
    return model_for(saved(broken(lambda s, c: None), tmp_path_factory.mktemp("whole")))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s, c: s.pop("module.encoder_q.bn1.bias"), "missing encoder_q.bn1.bias"),
        (lambda s, c: s.update({"module.encoder_q.bn9.bias": ONE}), "unexpected encoder_q.bn9.bias"),
        (
            lambda s, c: s.update({"module.encoder_k.bn1.bias": ONE}),
            r"does not fit the model: encoder_k.bn1.bias has shape \[1\], expected \[16\]",
        ),
        (lambda s, c: s.pop("module.queue_ptr"), "missing queue_ptr"),
        (lambda s, c: s.update({"module.extra": ONE}), "unexpected extra"),
        (lambda s, c: c.pop("optimizer"), "missing optimizer"),
        (lambda s, c: c["optimizer"]["state"].pop(3), "momentum of 63 parameters, expected 64"),
        (
            lambda s, c: c["optimizer"]["state"].update({3: {"exp_avg": ONE}}),
            "is not SGD with momentum",
        ),
        (
            lambda s, c: c["optimizer"]["state"].update({3: {"momentum_buffer": None}}),
            "is not SGD with momentum",
        ),
        (
            lambda s, c: [s.pop(f"module.encoder_q.bn1.{name}") for name in ("bias", "weight")],
            "missing encoder_q.bn1.weight; missing encoder_q.bn1.bias",
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_name(model, tmp_path, change, message):
    content = saved(broken(change), tmp_path)
    with pytest.raises(UserError, match=message):
        interop.load(model, content, "file")


def test_what_else_a_file_says_of_its_network_does_no_harm(model, tmp_path):
    told = {"backbone": "resnet50", "arch": ["resnet50"]}
    content = saved(broken(lambda s, c: c.update(told)), tmp_path)
    assert interop.describe(content) == interop.describe(saved(broken(lambda s, c: None), tmp_path))
    assert interop.load(model, content, "file")


def test_what_is_no_checkpoint_is_refused_and_code_in_it_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "ran"),))

    (tmp_path / "text").write_text("hello")
    for path in (tmp_path / "text", tmp_path / "absent"):
        with pytest.raises(UserError, match="cannot be read as a PyTorch checkpoint"):
            interop.read_file(str(path))
    with pytest.raises(UserError, match="has no state_dict, and no tensors; expected a checkpoint of"):
        saved({"epoch": 1}, tmp_path)
    with pytest.raises(UserError, match="holds (posix|nt).mkdir, and to read that would be to run"):
        saved({"epoch": 1, "arch": "resnet18", "state_dict": {"a": Evil()}}, tmp_path)
    assert not (tmp_path / "ran").exists()


def test_a_bit_that_has_changed_in_a_file_is_refused(tmp_path):
    weights = {"conv1.weight": torch.arange(8 * 3 * 9.0).reshape(8, 3, 3, 3)}
    path = tmp_path / "file"
    torch.save({"arch": "resnet18", "state_dict": weights}, path)
    assert interop.read_file(str(path))["arch"] == "resnet18"
    content = bytearray(path.read_bytes())
    content[content.find(weights["conv1.weight"].numpy().tobytes()) + 100] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="cannot be read as a PyTorch checkpoint: .*is damaged, by its"):
        interop.read_file(str(path))
