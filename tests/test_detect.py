"""`python -m mocotf.detect` on a few small images."""

import functools
import json
import shutil
import sys

import numpy as np
import pytest
import tensorflow as tf
from absl import flags
from PIL import Image

from mocotf import detect
from mocotf.cli import transfer_flags
from mocotf.errors import UserError
from mocotf.transfer.settings import DetectionSettings
from tests import commands
from tests import processes
from tests.saved_run import write_run
from tests.tiny import STAGES

QUICK = ["--dataset=cutouts", "--train_images=8", "--test_images=4", "--canvas=64", "--short_sides=64"]
QUICK += ["--test_short_side=64", "--batch_size=4", "--steps=2", "--head_convs=1", "--log_every=1"]
QUICK += ["--strategy=one_device", "--lr=0.01", "--drop_at=0.5", "--checkpoint_every=1"]


@pytest.fixture
def call(call):
    return functools.partial(call, detect, *QUICK)


@pytest.mark.slow
def test_a_run_is_measured_shown_and_resumed_bit_for_bit(call, pretrained, tmp_path, capsys):
    whole = tmp_path / "whole"
    call("--evaluate_every=1", model_dir=whole)
    found = commands.results(whole)
    assert set(found) >= {"detect_ap", "detect_ap50", "detect_ap75"} and found["steps"] == 2
    lines = capsys.readouterr().out.splitlines()
    assert json.loads(lines[-1]) == found
    assert lines[0] == "cutouts: 8 training images, 4 test images, 10 classes"
    measured = {"detect_ap": found["detect_ap"], "detect_ap_step": 2}
    assert commands.results(pretrained, "evaluation.json") == measured
    records = commands.metrics(whole)
    assert [("ap" in r, r["lr"]) for r in records] == [(True, 0.01), (True, pytest.approx(0.001))]
    assert all(r["box_loss"] + r["class_loss"] == pytest.approx(r["loss"], rel=1e-5) for r in records)
    with Image.open(whole / "pictures" / "detect-2.jpg") as picture:
        assert picture.size[0] > 1500

    cut, saved = commands.forget(shutil.copytree(whole, tmp_path / "cut"), 2), str(tmp_path / "saved")
    call("--evaluate_every=1", f"--saved_model={saved}/", model_dir=cut)
    assert "resuming" in capsys.readouterr().out
    assert commands.results(cut) == found | {"saved_model": saved}
    serve = tf.saved_model.load(saved).signatures["serving_default"]
    assert serve(image_bytes=tf.constant(["no image"]))["counts"].numpy().tolist() == [0]
    commands.assert_same(commands.variables(whole, 2), commands.variables(cut, 2))


@pytest.mark.slow  # test_segment.py compares too
def test_a_comparison_has_a_table(call, pretrained, tmp_path, capsys):
    call("--compare=random", "--seeds=0,1", "--steps=1", model_dir=tmp_path)
    found = commands.results(tmp_path, "comparison.json")
    assert list(found["starts"]) == ["random", str(pretrained)]
    table = (tmp_path / "comparison.md").read_text()
    assert table.startswith("| start | AP | AP50 | AP75 |") and table in capsys.readouterr().out
    one, other = (commands.variables(tmp_path / f"random-seed{i}", 1) for i in (0, 1))
    name = "detector/conv1/kernel"  # each seed has a random start of its own
    assert np.abs(one[name] - other[name]).max() > 0.01


def test_the_recipe_for_voc_is_the_papers(call):
    commands.set_flags(f"--flagfile={processes.ROOT}/flags/voc_detection.cfg")
    settings = transfer_flags.read(DetectionSettings, None)
    optimisation = settings.training.optimisation
    schedule = transfer_flags.make_schedule(optimisation, settings.transfer, 1034)
    rates = {0: 1e-4, 99: 1e-2, 17999: 1e-2, 18000: 1e-3, 21999: 1e-3, 22000: 1e-4, 23999: 1e-4}
    for step, rate in rates.items():
        assert float(schedule(step)) == pytest.approx(rate)
    canvas = settings.own
    assert canvas.short_sides == tuple(range(480, 801, 32)) and canvas.test_short_side == 800
    assert (optimisation.steps, optimisation.batch_size) == (24000, 16)
    assert canvas.canvas >= 800 * 500 / 375  # VOC's largest images, at their largest


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--dataset=", "--dataset is missing; expected cutouts, json, tfds, or voc or coco"),
        ("--dataset=imagenet2012", "expected cutouts, json, voc, coco, or tfds"),
        ("--dataset=json", "--annotations is missing"),
        ("--annotations=a.json", "does nothing without --dataset=json"),
        ("--data_dir=a", "which is embedded"),
        ("--dataset=voc", "--train_images does nothing with --dataset=voc"),
        ("--canvas=100", "--canvas=100: expected a multiple of 16, the stride of level 4; try 112"),
        ("--short_sides=64,128", "expected numbers from 1 to --canvas=64"),
        ("--batch_size=16", "there are only 8 images to train on"),
        ("--max_level=5", "the backbone has maps of levels 1 to 4"),
        ("--drop_at=0.5 --cos", "--drop_at and --cos contradict"),
        ("--drop_at=x", "expected some numbers"),
        ("--saved_model=/tmp", "expected the name of a new folder"),
        ("--saved_model=/nowhere/it", "expected a new folder in one that is there"),
        ("--drop_at=0.5 --lr_scaling=linear", "--drop_at and --lr_scaling contradict"),
        ("--seeds=0,1", "--seeds does nothing without --compare"),
        ("--seeds=0,0 --compare=random", "expected each seed once"),
        ("--seeds=0.5 --compare=random", "expected some numbers separated by commas"),
        ("--seeds=-1 --compare=random", "expected some numbers separated by commas from 0"),
        ("--seed=1 --compare=random", "--seed does nothing with --compare: give --seeds"),
        ("--untrained --compare=random", "--untrained does nothing with --compare"),
        ("--epochs=3", "--epochs does nothing here: give --steps"),
        ("--host_ops=tensorflow", "--host_ops does nothing here"),
        ("--num_images=5", "--num_images does nothing here: .* --train_images"),
        ("--pretrained=/nowhere", "expected the --model_dir of a run"),
    ],
)
def test_mistakes_take_one_line(call, tmp_path, arguments, message):
    with pytest.raises((UserError, flags.Error), match=message) as caught:
        call(*arguments.split(), model_dir=tmp_path / "a")
    assert "\n" not in str(caught.value)


def test_packages_that_are_missing_are_told_before_anything_else(call, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    message = r"mocotf.detect: pycocotools is not installed; try: pip install '\S+\[transfer\]'"
    with pytest.raises(UserError, match=message):
        call("--pretrained=/nowhere", model_dir=tmp_path / "a")


def test_starts_of_different_architectures_are_not_compared(call, tmp_path):
    write_run(tmp_path / "other", arch=STAGES, stem="small", width="0.25")
    with pytest.raises(UserError, match=r"--width=0.25, the first start has 0.125"):
        call(f"--compare={tmp_path / 'other'}", model_dir=tmp_path / "a")


def test_starts_of_different_backbones_are_not_compared(call, tmp_path):
    made = "tests.keras_models:with_stages"
    for name, arguments in (("plain", "{}"), ("pixels", '{"pixels": true}')):
        write_run(tmp_path / name, backbone=made, backbone_args=arguments, image_size="32")
    one, other = tmp_path / "plain", tmp_path / "pixels"
    with pytest.raises(UserError, match=f"plain: --backbone={made}, the first start has none"):
        call(f"--compare={one}", model_dir=tmp_path / "a")
    with pytest.raises(UserError, match=r"--backbone_args={'pixels': True}, the first start has {}"):
        call(f"--pretrained={one}", f"--compare={other}", model_dir=tmp_path / "a")


@pytest.mark.slow
def test_a_run_of_a_model_of_keras_applications_is_a_start(call, mobile_net, tmp_path):
    call(f"--pretrained={mobile_net}", "--canvas=128", model_dir=tmp_path)
    assert commands.results(tmp_path)["steps"] == 2


def test_flags_of_supervised_learning_are_not_taken(tmp_path):
    # Only a process of its own has no other command's flags.
    script = "from absl import flags; import mocotf.detect, mocotf.segment; print(*flags.FLAGS)"
    (tmp_path / "flags.py").write_text(f"import sys; sys.path.insert(0, '.'); {script}")
    names = set(processes.run(str(tmp_path / "flags.py")).out.split())
    assert {"pretrained", "untrained", "dataset", "train_images", "crop_size", "canvas"} <= names
    assert not names & {"label_fraction", "label_seed", "labels", "train_crop_min", "measure_every"}
