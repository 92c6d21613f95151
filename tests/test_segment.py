"""`python -m mocotf.segment` on a few small images."""

import json
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
from absl import flags
from absl.testing import flagsaver
from PIL import Image

from mocotf import segment
from mocotf.cli import transfer_flags
from mocotf.errors import UserError
from mocotf.transfer import start
from tests.commands import metrics
from tests.commands import results
from tests.commands import set_flags
from tests.commands import variables
from tests.saved_run import write_run
from tests.tiny import STAGES

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
QUICK = ["--dataset=cutouts", "--train_images=8", "--test_images=4", "--crop_size=33", "--batch_size=4"]
QUICK += ["--scales=0.5,1", "--head_channels=8", "--head_dilation=1", "--strategy=one_device"]
QUICK += ["--steps=2", "--lr=0.01", "--drop_at=0.5", "--checkpoint_every=1", "--log_every=1"]


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """Returns the folder of a run whose encoder is small."""
    folder = tmp_path_factory.mktemp("pretrained") / "run"
    write_run(folder, arch=STAGES, stem="small")
    return folder


@pytest.fixture
def call(pretrained, monkeypatch):
    """Returns a function that runs the command's `main` in this process."""
    saved = flagsaver.save_flag_values()
    monkeypatch.setattr(start, "check_resnet", lambda *_: None)

    def call(*arguments, model_dir):
        where = [f"--pretrained={pretrained}", f"--model_dir={model_dir}"]
        set_flags("--json", *QUICK, *where, *arguments)
        segment.main()

    yield call
    flagsaver.restore_flag_values(saved)


def shown_in_tensorboard(folder):
    """Returns the tags of curves and pictures."""
    [path] = folder.glob("events.*")
    events = tf.compat.v1.train.summary_iterator(str(path))
    return {value.tag for event in events for value in event.summary.value}


def test_a_run_is_measured_shown_and_resumed_bit_for_bit(call, tmp_path, capsys):
    call("--evaluate_every=1", model_dir=tmp_path / "whole")
    found = results(tmp_path / "whole")
    assert set(found) >= {"segment_miou", "segment_pixel_accuracy"} and found["steps"] == 2
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == found
    records = metrics(tmp_path / "whole")
    assert [("miou" in r, r["lr"]) for r in records] == [(True, 0.01), (True, pytest.approx(0.001))]
    assert shown_in_tensorboard(tmp_path / "whole") >= {
        "evaluation/mIoU", "evaluation/pixel_accuracy", "pretext/loss", "pictures/segment",
    }  # fmt: skip
    with Image.open(tmp_path / "whole" / "pictures" / "segment-2.jpg") as picture:
        assert picture.size[0] > 1500

    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    for file in (tmp_path / "cut" / "checkpoints").glob("ckpt-2*"):
        file.unlink()  # as if it had been killed after a checkpoint
    call("--evaluate_every=1", model_dir=tmp_path / "cut")
    assert "resuming" in capsys.readouterr().out
    assert results(tmp_path / "cut") == found
    whole, again = variables(tmp_path / "whole", 2), variables(tmp_path / "cut", 2)
    assert {name.partition("/")[0] for name in whole} >= {"backbone", "head", "optimizer"}
    for name, value in whole.items():
        np.testing.assert_array_equal(value, again[name], err_msg=name)


def test_a_comparison_is_a_run_a_start_and_seed(call, pretrained, tmp_path, capsys):
    call("--compare=random", "--seeds=0,1", "--steps=1", model_dir=tmp_path)
    found = results(tmp_path, "comparison.json")
    assert list(found["starts"]) == ["random", str(pretrained)]
    assert [len(trials) for trials in found["starts"].values()] == [2, 2]
    table = (tmp_path / "comparison.md").read_text()
    assert table.startswith("| start | mIoU | pixels |") and table in capsys.readouterr().out
    runs = sorted(path.name for path in tmp_path.iterdir() if path.is_dir())
    assert len(runs) == 4 and runs[-2:] == ["random-seed0", "random-seed1"]
    started = [variables(tmp_path / run, 1)["backbone/conv1/kernel"] for run in runs]
    assert np.abs(started[2] - started[3]).max() > 0.01  # each seed has a random start of its own
    np.testing.assert_allclose(started[0], started[1], atol=0.01)
    # The same again measures nothing twice, nor a start whose path is written in another way.
    call(f"--compare=random,{pretrained}/", "--seeds=0,1", "--steps=1", model_dir=tmp_path)
    out = capsys.readouterr().out
    assert out.count("is complete") == 4 and table in out


def test_a_folder_of_ones_own_and_rates_of_layers(call, tmp_path):
    """Images are of different sizes; the first test images do not decode, those behind them do."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 6), ("val", 15)):
        for name in ("images", "masks"):
            (tmp_path / "data" / part / name).mkdir(parents=True)
        for i in range(count):
            size = 30 + i % 3, 41 - i
            path = tmp_path / "data" / part / "images" / f"{i:02}.png"
            Image.fromarray(rng.integers(0, 256, (*size, 3)).astype(np.uint8)).save(path)
            if part == "val" and i < 12:
                path.write_bytes(path.read_bytes()[:200])  # the header is right
            mask = Image.fromarray(rng.integers(0, 3, size).astype(np.uint8))
            mask.save(tmp_path / "data" / part / "masks" / f"{i:02}.png")
    where = "--dataset=folder", f"--data_dir={tmp_path / 'data'}", "--max_bad_images=1"
    rates = "--lr_scale=head:0,head.score:1"
    call(*where, rates, "--train_images=5", "--test_images=15", model_dir=tmp_path / "a")
    found = results(tmp_path / "a")
    assert found["images"] == 5 and found["bad_images"] == 12 and found["segment_pixel_accuracy"] >= 0
    assert not (tmp_path / "a" / "pictures").exists(), "no picture is no fault"
    before, after = (variables(tmp_path / "a", step) for step in (1, 2))
    moved = {name for name in before if not np.array_equal(after[name], before[name])}
    assert {"head/head.score/kernel", "backbone/conv1/kernel"} < moved
    assert "head/head.conv1/kernel" not in moved


def test_the_recipe_is_the_papers(call):
    set_flags(f"--flagfile={ROOT}/flags/voc_segmentation.cfg")
    F = flags.FLAGS
    assert (F.steps, F.batch_size, F.crop_size, F.weight_decay) == (30000, 16, 513, 1e-4)
    assert (F.head_channels, F.head_dilation, F.scales) == (256, 6, ["0.5", "2"])
    rates = [transfer_flags.make_schedule(91)(step) for step in (0, 20999, 21000, 26999, 27000)]
    np.testing.assert_allclose(rates, [0.003, 0.003, 0.0003, 0.0003, 0.00003], rtol=1e-9)


@pytest.mark.parametrize(
    ("arguments", "rates"),
    [
        ([], [0.1, 0.1, 0.01, 0.001]),
        (
            ["--cos"],
            [0.1, 0.05, 0.1 * (1 + np.cos(np.pi * 0.7)) / 2, 0.1 * (1 + np.cos(np.pi * 0.9)) / 2],
        ),
        (["--schedule=5"], [0.1, 0.01, 0.01, 0.01]),
    ],
)
def test_another_schedule_takes_the_place_of_the_default(call, arguments, rates):
    flags.FLAGS.set_default("drop_at", ["0.7", "0.9"])
    set_flags("--lr=0.1", "--steps=100", *arguments)
    transfer_flags.check_schedule()
    schedule = transfer_flags.make_schedule(10)
    np.testing.assert_allclose([schedule(step) for step in (0, 50, 70, 90)], rates, rtol=1e-6)


def test_the_default_drops_given_with_another_schedule_contradict_it(call):
    flags.FLAGS.set_default("drop_at", ["0.7", "0.9"])
    set_flags("--drop_at=0.7,0.9", "--cos")
    with pytest.raises(UserError, match="--drop_at and --cos contradict"):
        transfer_flags.check_schedule()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset=voc"], "--data_dir is missing; expected VOCdevkit/VOC2012"),
        (["--dataset=folder", "--data_dir=/nowhere"], "expected images/ and masks/"),
        (["--dataset=imagenet2012"], "expected voc, folder, cutouts, or of tensorflow-datasets one of"),
        (["--data_dir=x"], "which is embedded"),
        (["--masks=x"], "--masks does nothing without --dataset=voc"),
        (["--dataset=oxford_iiit_pet"], "--train_images with --dataset=oxford_iiit_pet"),
        (["--scales=2,1"], "expected two numbers above 0, the smaller first"),
        (["--scales=1"], "expected 2 numbers"),
        (["--lr_scale=head"], "expected LAYER:FACTOR"),
        (["--batch_size=16"], "there are only 8 images to train on"),
        (["--pretrained=/nowhere"], "expected the --model_dir of a run"),
    ],
)
def test_mistakes_take_one_line(call, tmp_path, arguments, message):
    with pytest.raises(UserError, match=message) as caught:
        call(*arguments, model_dir=tmp_path / "a")
    assert "\n" not in str(caught.value)


def test_every_flag_has_help_of_its_own():
    own = flags.FLAGS.get_key_flags_for_module(segment.__name__)
    texts = [flag.help for flag in own]
    assert len(set(texts)) == len(texts) > 40 and min(map(len, texts)) > 8
    assert {"crop_size", "scales", "compare", "drop_at"} <= {flag.name for flag in own}
