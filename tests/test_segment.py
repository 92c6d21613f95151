"""`python -m mocotf.segment` on a few small images."""

import functools
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from absl import flags
from PIL import Image

from mocotf import segment
from mocotf.cli import transfer_flags
from mocotf.errors import UserError
from mocotf.transfer.settings import SegmentationSettings
from tests import commands
from tests import processes

QUICK = ["--dataset=cutouts", "--train_images=8", "--test_images=4", "--crop_size=33", "--batch_size=4"]
QUICK += ["--scales=0.5,1", "--head_channels=8", "--head_dilation=1", "--strategy=one_device"]
QUICK += ["--steps=2", "--lr=0.01", "--drop_at=0.5", "--checkpoint_every=1", "--log_every=1"]


@pytest.fixture
def call(call):
    return functools.partial(call, segment, *QUICK)


def test_a_run_is_measured_shown_and_resumed_bit_for_bit(call, tmp_path, capsys):
    whole = tmp_path / "whole"
    call("--evaluate_every=1", model_dir=whole)
    found = commands.results(whole)
    assert set(found) >= {"segment_miou", "segment_pixel_accuracy"} and found["steps"] == 2
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == found
    records = commands.metrics(whole)
    assert [("miou" in r, r["lr"]) for r in records] == [(True, 0.01), (True, pytest.approx(0.001))]
    (path,) = whole.glob("events.*")
    events = tf.compat.v1.train.summary_iterator(str(path))
    tags = {value.tag for event in events for value in event.summary.value}
    assert tags >= {"evaluation/mIoU", "evaluation/pixel_accuracy", "pretext/loss", "pictures/segment"}
    with Image.open(whole / "pictures" / "segment-2.jpg") as picture:
        assert picture.size[0] > 1500

    cut = commands.forget(shutil.copytree(whole, tmp_path / "cut"), 2)
    call("--evaluate_every=1", model_dir=cut)
    assert "resuming" in capsys.readouterr().out and commands.results(cut) == found
    parts = {name.partition("/")[0] for name in commands.variables(cut, 2)}
    assert parts >= {"backbone", "head", "optimizer"}
    commands.assert_same(commands.variables(whole, 2), commands.variables(cut, 2))


@pytest.mark.slow
def test_a_comparison_is_a_run_a_start_and_seed(call, pretrained, tmp_path, capsys):
    call("--compare=random", "--seeds=0,1", "--steps=1", model_dir=tmp_path)
    found = commands.results(tmp_path, "comparison.json")
    assert list(found["starts"]) == ["random", str(pretrained)]
    assert [len(trials) for trials in found["starts"].values()] == [2, 2]
    table = (tmp_path / "comparison.md").read_text()
    assert table.startswith("| start | mIoU | pixels |") and table in capsys.readouterr().out
    runs = sorted(path.name for path in tmp_path.iterdir() if path.is_dir())
    assert len(runs) == 4 and runs[-2:] == ["random-seed0", "random-seed1"]
    started = [commands.variables(tmp_path / run, 1)["backbone/conv1/kernel"] for run in runs]
    assert np.abs(started[2] - started[3]).max() > 0.01  # each seed has a random start of its own
    np.testing.assert_allclose(started[0], started[1], atol=0.01)
    # The same again measures nothing twice, nor a start whose path is written in another way.
    call(f"--compare=random,{pretrained}/", "--seeds=0,1", "--steps=1", model_dir=tmp_path)
    out = capsys.readouterr().out
    assert out.count("is complete") == 4 and table in out


def test_a_folder_of_ones_own_and_rates_of_layers(call, tmp_path, capsys):
    """Images are of different sizes; the first test images do not decode, those behind them do."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 6), ("val", 15)):
        for name in ("images", "masks"):
            (tmp_path / "data" / part / name).mkdir(parents=True)
        for i in range(count):
            size, path = (30 + i % 3, 41 - i), tmp_path / "data" / part / "images" / f"{i:02}.png"
            Image.fromarray(rng.integers(0, 256, (*size, 3)).astype(np.uint8)).save(path)
            if part == "val" and i < 12:
                path.write_bytes(path.read_bytes()[:200])  # the header is right
            mask = Image.fromarray(rng.integers(0, 3, size).astype(np.uint8))
            mask.save(tmp_path / "data" / part / "masks" / f"{i:02}.png")
    options = ["--dataset=folder", f"--data_dir={tmp_path / 'data'}", "--max_bad_images=1"]
    options += ["--lr_scale=head:0,head.score:1", "--train_images=5", "--test_images=15"]
    call(*options, model_dir=tmp_path / "a")
    first, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{tmp_path / 'data'}: 5 training images, 15 test images (100 % PNG, ")
    assert first.endswith(" median), 3 classes")
    found = commands.results(tmp_path / "a")
    assert found["images"] == 5 and found["bad_images"] == 12 and found["segment_pixel_accuracy"] >= 0
    assert not (tmp_path / "a" / "pictures").exists(), "no picture is no fault"
    before, after = (commands.variables(tmp_path / "a", step) for step in (1, 2))
    moved = {name for name in before if not np.array_equal(after[name], before[name])}
    assert {"head/head.score/kernel", "backbone/conv1/kernel"} < moved
    assert "head/head.conv1/kernel" not in moved


@pytest.mark.slow
def test_a_run_of_a_model_of_keras_applications_is_a_start(call, mobile_net, tmp_path, caplog):
    call(f"--pretrained={mobile_net}", "--crop_size=64", model_dir=tmp_path)
    assert commands.results(tmp_path)["steps"] == 2
    assert "a dilated one, of half of that, needs a ResNet" in caplog.text


def rates_of(steps_per_epoch, steps):
    """Returns the rates at some steps of the schedule that the flags describe."""
    settings = transfer_flags.read(SegmentationSettings, None)
    optimisation = settings.training.optimisation
    schedule = transfer_flags.make_schedule(optimisation, settings.transfer, steps_per_epoch)
    return [schedule(step) for step in steps]


def test_the_recipe_is_the_papers(call):
    commands.set_flags(f"--flagfile={processes.ROOT}/flags/voc_segmentation.cfg")
    F = flags.FLAGS
    assert (F.steps, F.batch_size, F.crop_size, F.weight_decay) == (30000, 16, 513, 1e-4)
    assert (F.head_channels, F.head_dilation, F.scales) == (256, 6, (0.5, 2.0))
    rates = rates_of(91, (0, 20999, 21000, 26999, 27000))
    np.testing.assert_allclose(rates, [0.003, 0.003, 0.0003, 0.0003, 0.00003], rtol=1e-9)


def test_another_schedule_takes_the_place_of_the_default_which_contradicts_it_when_given(call):
    flags.FLAGS.set_default("drop_at", (0.7, 0.9))
    for arguments, rates in (
        ([], [0.1, 0.1, 0.01, 0.001]),
        (["--cos"], [0.05 * (1 + np.cos(np.pi * part)) for part in (0, 0.5, 0.7, 0.9)]),
        (["--schedule=5"], [0.1, 0.01, 0.01, 0.01]),
    ):
        commands.set_flags("--lr=0.1", "--steps=100", *arguments)
        np.testing.assert_allclose(rates_of(10, (0, 50, 70, 90)), rates, rtol=1e-6)
    commands.set_flags("--drop_at=0.7,0.9", "--cos")
    with pytest.raises(UserError, match="--drop_at and --cos contradict"):
        rates_of(10, ())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--dataset=voc", "--data_dir is missing; expected VOCdevkit/VOC2012"),
        ("--dataset=folder --data_dir=/nowhere", "expected images/ and masks/"),
        ("--dataset=imagenet2012", "expected voc, folder, cutouts, or of tensorflow-datasets one of"),
        ("--data_dir=x", "which is embedded"),
        ("--masks=x", "--masks does nothing without --dataset=voc"),
        ("--dataset=oxford_iiit_pet", "--train_images does nothing with --dataset=oxford_iiit_pet"),
        ("--scales=2,1", "expected two numbers, the smaller first"),
        ("--scales=1", "expected 2 numbers"),
        ("--lr_scale=head", "expected LAYER:FACTOR"),
    ],
)
def test_mistakes_take_one_line(call, tmp_path, arguments, message):
    with pytest.raises((UserError, flags.Error), match=message) as caught:
        call(*arguments.split(), model_dir=tmp_path / "a")
    assert "\n" not in str(caught.value)
