"""`python -m mocotf.convert` as a user types it."""

import pytest
import torch

import mocotf
from tests.interop.support import make_run
from tests.interop.support import relative
from tests.interop.test_torch import trained_oracle
from tests.oracles.torch_checkpoint import cleaned_file
from tests.oracles.torch_checkpoint import randomise
from tests.oracles.torch_checkpoint import training_file
from tests.oracles.torch_resnet import resnet as torch_resnet
from tests.processes import refuse
from tests.processes import succeed
from tests.saved_run import write_run

# What the file does not decide, so that the run can be resumed on the embedded data.
RUN = ["--image_size=32", "--batch_size=16", "--bn_splits=2", "--knn_every=0"]
RUN += ["--steps=11", "--lr=0.01"]
PRECISIONS = ["float32", "mixed_float16"]


@pytest.fixture(scope="module")
def oracle():
    return trained_oracle(mlp=True)


@pytest.mark.slow
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_training_file_becomes_a_run_that_resumes_and_comes_back(tmp_path, oracle, precision):
    there, back = tmp_path / "fair.pth.tar", tmp_path / "back.pth.tar"
    torch.save(content := training_file(oracle, "resnet18", 2), there)
    to = ["--from=torch", "--to=mocotf", "--steps_per_epoch=5", *RUN, "--json"]
    done = succeed("convert", *to, f"--precision={precision}", there, tmp_path / "run")
    assert done.json == {"step": 10, "training_state": True}

    succeed("convert", "--from=mocotf", "--to=torch", "--steps_per_epoch=5", tmp_path / "run", back)
    returned = torch.load(back, weights_only=True)
    assert (returned["epoch"], returned["arch"], returned["step"]) == (2, "resnet18", 10)
    for name, value in content["state_dict"].items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(returned["state_dict"][name], value), name
    for i, state in content["optimizer"]["state"].items():
        found = returned["optimizer"]["state"][i]["momentum_buffer"]
        assert torch.equal(found, state["momentum_buffer"]), i

    flags = f"--flagfile={tmp_path / 'run' / 'flags.cfg'}", f"--model_dir={tmp_path / 'run'}"
    out = succeed("train", *flags).out
    assert "at step 10 of 11" in out and "step 11/11" in out


def test_a_released_file_becomes_a_run_at_step_0(tmp_path, oracle):
    torch.save(cleaned_file(oracle.encoder_q, "resnet18", 200), tmp_path / "released.pth.tar")
    done = succeed("convert", *RUN, tmp_path / "released.pth.tar", tmp_path / "run")
    assert "step 0, without the state of training" in done.out


@pytest.mark.slow
def test_a_backbone_of_13_channels_becomes_a_keras_file_of_the_same_features(tmp_path):
    network = randomise(torch_resnet("resnet50", inputs=13), seed=1).eval()
    source, run, encoder = (tmp_path / name for name in ("sentinel.pth", "run", "encoder.keras"))
    torch.save({"state_dict": network.state_dict()}, source)
    refuse("convert", [source, run], "--channels=13: --mean and --std missing")
    of_1 = ["--channels=1", "--mean=1000", "--std=300", source, run]
    refuse("convert", of_1, "sentinel.pth: was trained on images of 13 channels; expected 1, or 3")
    mean, std = ("--mean=" + ",".join(["1000"] * 13), "--std=" + ",".join(["300"] * 13))
    succeed("convert", "--channels=13", mean, std, "--image_size=224", source, run)
    succeed("convert", "--to=keras", run, encoder)
    x = torch.randn(2, 13, 224, 224)
    images = 1000 + 300 * x.permute(0, 2, 3, 1).numpy()
    features = mocotf.load_encoder(encoder)(images)["features"]
    with torch.no_grad():
        assert relative(features, network.features(x).numpy()) < 1e-5


OF_GARDEN = {"backbone.index", "backbone.data-00000-of-00001"}


@pytest.mark.parametrize(
    ("target", "name", "files"),
    [
        ("onnx", "e.onnx", {"e.onnx"}),
        # What they write: tests/interop/test_frameworks.py.
        pytest.param("keras_hub", "preset", {"preset"}, marks=pytest.mark.slow),
        pytest.param("model_garden", "backbone", OF_GARDEN, marks=pytest.mark.slow),
    ],
)
def test_an_encoder_is_handed_on_in_other_formats(tmp_path, target, name, files):
    source = make_run(tmp_path / "run", width="1.0", step=9)
    done = succeed("convert", f"--to={target}", "--json", source, tmp_path / name)
    assert done.json["step"] == 9 and len(done.json) == 2, done.json
    assert "Traceback" not in done.err and "deprecated" not in done.err, done.err
    assert {path.name for path in tmp_path.iterdir()} - {"run"} == files


def test_what_needs_a_resnet_says_so(tmp_path):
    write_run(tmp_path / "run", backbone="tests.keras_models:with_stages", image_size="32")
    for target, name in (("torch", "o"), ("torchvision", "o"), ("detectron2", "o.pkl"),
                         ("keras_hub", "o"), ("model_garden", "o")):  # fmt: skip
        message = f"--backbone=tests.keras_models:with_stages: --to={target} needs a ResNet: resnet10, "
        refuse("convert", [f"--to={target}", tmp_path / "run", tmp_path / name], message)


def test_what_another_optimizer_keeps_has_no_place_in_the_originals_checkpoint(tmp_path):
    write_run(tmp_path / "run", arch="resnet10", width="0.0625", optimizer="adamw")
    message = "is of --optimizer=adamw, and the original MoCo's checkpoint has SGD's momentum; expected"
    refuse("convert", ["--to=torch", tmp_path / "run", tmp_path / "o"], message)


def test_mistakes_are_one_line(tmp_path, oracle):
    text = tmp_path / "text.pth.tar"
    text.write_text("hello")
    write_run(tmp_path / "saved")
    for arguments, code, message in (
        ([text, tmp_path / "run"], 1, "cannot be read as a PyTorch"),
        (["--from=mocotf", "--to=torch", tmp_path, "x"], 1, "no flags.cfg; expected the --model_dir"),
        ([text, tmp_path], 1, "exists; expected the name of a new file or folder"),
        (["--to=onnx", "runs/v2", "encoder.pb"], 1, "--to=onnx expects a name that ends in .onnx"),
        (["--from=torch", "--to=onnx", "a", "b.onnx"], 1, "expected --from=mocotf"),
        ([tmp_path / "saved", "e.keras"], 1, "is a run; expected --to=FORMAT, one of"),
        ([tmp_path / "saved", "e.keras"], 1, "; try --to=keras"),
        (["--to=keras", "gone", tmp_path / "saved"], 1, "and gone is not there: INPUT comes first"),
        (["one"], 2, "one: expected 2 arguments, INPUT OUTPUT"),
    ):
        refuse("convert", arguments, message, code)
    assert not (tmp_path / "run").exists()
