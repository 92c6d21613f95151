"""`python -m mocotf.detect` on a few small images."""

import json
import pathlib
import shutil
import sys

import numpy as np
import pytest
import tensorflow as tf
from absl import flags
from absl.testing import flagsaver
from PIL import Image

from mocotf import detect
from mocotf.cli import transfer_flags
from mocotf.errors import UserError
from mocotf.transfer import start
from tests import processes
from tests.commands import metrics
from tests.commands import results
from tests.commands import set_flags
from tests.commands import variables
from tests.saved_run import write_run
from tests.tiny import STAGES

FLAGFILE = pathlib.Path(__file__).parents[1] / "flags" / "voc_detection.cfg"
QUICK = ["--dataset=cutouts", "--train_images=8", "--test_images=4", "--canvas=64", "--short_sides=64"]
QUICK += ["--test_short_side=64", "--batch_size=4", "--steps=2", "--head_convs=1", "--log_every=1"]
QUICK += ["--strategy=one_device", "--lr=0.01", "--drop_at=0.5", "--checkpoint_every=1"]


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
        detect.main()

    yield call
    flagsaver.restore_flag_values(saved)


def test_a_run_is_measured_shown_and_resumed_bit_for_bit(call, pretrained, tmp_path, capsys):
    call("--evaluate_every=1", model_dir=tmp_path / "whole")
    found = results(tmp_path / "whole")
    assert set(found) >= {"detect_ap", "detect_ap50", "detect_ap75"} and found["steps"] == 2
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == found
    assert results(pretrained, "evaluation.json") == {"detect_ap": found["detect_ap"]}
    records = metrics(tmp_path / "whole")
    assert [("ap" in r, r["lr"]) for r in records] == [(True, 0.01), (True, pytest.approx(0.001))]
    assert all(r["box_loss"] + r["class_loss"] == pytest.approx(r["loss"], rel=1e-5) for r in records)
    with Image.open(tmp_path / "whole" / "pictures" / "detect-2.jpg") as picture:
        assert picture.size[0] > 1500

    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    for file in (tmp_path / "cut" / "checkpoints").glob("ckpt-2*"):
        file.unlink()  # as if it had been killed after a checkpoint
    call("--evaluate_every=1", f"--saved_model={tmp_path / 'saved'}", model_dir=tmp_path / "cut")
    assert "resuming" in capsys.readouterr().out
    assert results(tmp_path / "cut") == found | {"saved_model": str(tmp_path / "saved")}
    serve = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"]
    assert serve(image_bytes=tf.constant(["no image"]))["counts"].numpy().tolist() == [0]
    whole, again = variables(tmp_path / "whole", 2), variables(tmp_path / "cut", 2)
    for name, value in whole.items():
        np.testing.assert_array_equal(value, again[name], err_msg=name)


@pytest.mark.slow  # test_segment.py compares too
def test_a_comparison_has_a_table(call, pretrained, tmp_path, capsys):
    call("--compare=random", "--seeds=0,1", "--steps=1", model_dir=tmp_path)
    found = results(tmp_path, "comparison.json")
    assert list(found["starts"]) == ["random", str(pretrained)]
    table = (tmp_path / "comparison.md").read_text()
    assert table.startswith("| start | AP | AP50 | AP75 |") and table in capsys.readouterr().out
    started = [variables(tmp_path / f"random-seed{i}", 1)["detector/conv1/kernel"] for i in (0, 1)]
    assert np.abs(started[0] - started[1]).max() > 0.01  # each seed has a random start of its own


def test_the_recipe_for_voc_is_the_papers():
    saved = flagsaver.save_flag_values()
    set_flags(f"--flagfile={FLAGFILE}")
    schedule = transfer_flags.make_schedule(1034)
    rates = {0: 1e-4, 99: 1e-2, 17999: 1e-2, 18000: 1e-3, 21999: 1e-3, 22000: 1e-4, 23999: 1e-4}
    for step, rate in rates.items():
        assert float(schedule(step)) == pytest.approx(rate)
    canvas = detect.make_canvas()
    assert canvas.short_sides == tuple(range(480, 801, 32)) and canvas.test_short_side == 800
    assert (flags.FLAGS.steps, flags.FLAGS.batch_size) == (24000, 16)
    # VOC's largest images, at their largest.
    assert canvas.size >= 800 * 500 / 375
    flagsaver.restore_flag_values(saved)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset=imagenet2012"], "expected cutouts, json, voc, coco, or tfds"),
        (["--dataset=json"], "--annotations is missing"),
        (["--annotations=a.json"], "does nothing without --dataset=json"),
        (["--data_dir=a"], "which is embedded"),
        (["--dataset=voc"], "--train_images with --dataset=voc"),
        (["--canvas=100"], "--canvas=100: expected a multiple of 16, the stride of level 4; try 112"),
        (["--short_sides=64,128"], "expected numbers from 1 to --canvas=64"),
        (["--batch_size=16"], "there are only 8 images to train on"),
        (["--max_level=5"], "the backbone has maps of levels 1 to 4"),
        (["--drop_at=0.5", "--cos"], "--drop_at and --cos contradict"),
        (["--drop_at=x"], "expected some numbers"),
        (["--saved_model=/tmp"], "expected the name of a new folder"),
        (["--drop_at=0.5", "--lr_scaling=linear"], "--drop_at and --lr_scaling contradict"),
        (["--seeds=0,1"], "--seeds does nothing without --compare"),
        (["--seeds=0,0", "--compare=random"], "expected whole numbers from 0 to 4294967295, each once"),
        (["--seeds=0.5", "--compare=random"], "expected whole numbers"),
        (["--seeds=-1", "--compare=random"], "expected whole numbers"),
        (["--seed=1", "--compare=random"], "--seed does nothing with --compare: give --seeds"),
        (["--untrained", "--compare=random"], "--untrained does nothing with --compare"),
        (["--epochs=3"], "--epochs does nothing here: give --steps"),
        (["--host_ops=tensorflow"], "--host_ops does nothing here"),
        (["--num_images=5"], "--num_images does nothing here: .* --train_images"),
        (["--pretrained=/nowhere"], "expected the --model_dir of a run"),
    ],
)
def test_mistakes_take_one_line(call, tmp_path, arguments, message):
    with pytest.raises(UserError, match=message) as caught:
        call(*arguments, model_dir=tmp_path / "a")
    assert "\n" not in str(caught.value)


def test_packages_that_are_missing_are_told_before_anything_else(call, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    with pytest.raises(
        UserError, match=r"pycocotools is not installed; try: pip install '.\[transfer\]'"
    ):
        call("--pretrained=/nowhere", model_dir=tmp_path / "a")


def test_starts_of_different_architectures_are_not_compared(call, tmp_path):
    write_run(tmp_path / "other", arch=STAGES, stem="small", width="0.25")
    with pytest.raises(UserError, match=r"--width=0.25, the first start has 0.125"):
        call(f"--compare={tmp_path / 'other'}", model_dir=tmp_path / "a")


def test_every_flag_has_help_of_its_own():
    own = flags.FLAGS.get_key_flags_for_module(detect.__name__)
    texts = [flag.help for flag in own]
    assert len(set(texts)) == len(texts) > 40 and min(map(len, texts)) > 8
    assert {"annotations", "canvas", "compare", "drop_at"} <= {flag.name for flag in own}


def test_flags_of_supervised_learning_are_not_taken(tmp_path):
    """They would do nothing; only a process of its own has no other command's flags."""
    script = "from absl import flags; import mocotf.detect, mocotf.segment; print(*flags.FLAGS)"
    (tmp_path / "flags.py").write_text(f"import sys; sys.path.insert(0, '.'); {script}")
    names = set(processes.run(str(tmp_path / "flags.py")).out.split())
    assert {"pretrained", "untrained", "dataset", "train_images", "crop_size", "canvas"} <= names
    assert not names & {"label_fraction", "label_seed", "labels", "train_crop_min", "measure_every"}
