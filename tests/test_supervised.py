"""`python -m mocotf.linear` and `python -m mocotf.finetune` on a small run."""

import csv
import json
import shutil

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from mocotf import finetune
from mocotf import linear
from mocotf.cli import supervised_flags
from mocotf.errors import UserError
from tests import processes
from tests.commands import results
from tests.commands import set_flags
from tests.commands import variables
from tests.saved_run import write_run
from tests.trained import CLASSES

QUICK = ["--batch_size=12", "--log_every=2", "--strategy=one_device", "--train_crop_min=0.5"]
QUICK += ["--measure_every=100"]  # at the end


@pytest.fixture(scope="module")
def images(trained):
    return trained / "pictures"


@pytest.fixture(scope="module")
def written(tmp_path_factory, images):
    folder = tmp_path_factory.mktemp("written") / "run"
    write_run(folder, dataset="folder", data_dir=str(images))
    return folder


@pytest.fixture
def pretrained(tmp_path, written):
    """Returns the folder of a run on the images."""
    return shutil.copytree(written, tmp_path / "run")


@pytest.fixture
def call(pretrained):
    """Returns a function that runs a command's `main` in this process and returns its JSON line."""
    saved = flagsaver.save_flag_values()

    def call(module, *arguments, model_dir=None):
        where = [f"--model_dir={model_dir}"] if model_dir else []
        set_flags(f"--pretrained={pretrained}", "--json", *QUICK, *where, *arguments)
        module.main()

    yield call
    flagsaver.restore_flag_values(saved)


def test_a_linear_run_tells_colours_apart_and_resumes_bit_for_bit(call, pretrained, tmp_path, capsys):
    options = ["--lr=1", "--epochs=3", "--schedule=2", "--checkpoint_every=6", "--weight_decay=0"]
    options.append("--measure_every=2")
    call(linear, *options, model_dir=tmp_path / "whole")
    found = results(tmp_path / "whole")
    assert found["linear_top1"] > 90 and found["encoder_unchanged"] is True
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == found
    assert results(pretrained, "evaluation.json") == {"linear_top1": found["linear_top1"]}
    with open(tmp_path / "whole" / "confusion.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == sorted(CLASSES)
    assert {row["images"] for row in rows} == {"8"}
    assert (tmp_path / "whole" / "checkpoints" / "best").is_dir()

    shutil.copytree(tmp_path / "whole", tmp_path / "again")
    for file in (tmp_path / "again" / "checkpoints").glob("ckpt-18*"):
        file.unlink()  # as if it had been killed after a checkpoint
    call(linear, *options, model_dir=tmp_path / "again")
    assert "resuming" in capsys.readouterr().out
    assert results(tmp_path / "again") == found
    whole, again = variables(tmp_path / "whole"), variables(tmp_path / "again")
    for name, value in whole.items():
        np.testing.assert_array_equal(value, again[name], err_msg=name)


def test_labels_that_say_nothing_give_chance(call, pretrained, tmp_path):
    options = ["--labels=constant", "--lr=1", "--epochs=1", "--schedule=1"]
    call(linear, *options, model_dir=tmp_path / "a")
    assert results(tmp_path / "a")["linear_top1"] == pytest.approx(100 / 3)
    assert not (pretrained / "evaluation.json").exists()


def test_a_sweep_is_one_run(call, pretrained, tmp_path):
    options = ["--lr_sweep=0.001,1", "--epochs=3", "--schedule=2", "--untrained"]
    call(linear, *options, model_dir=tmp_path / "a")
    found = results(tmp_path / "a")
    assert results(pretrained, "evaluation.json") == {"linear_top1_untrained": found["linear_top1"]}
    assert found["head"] == "lr_1" and found["linear_top1"] == found["top1_lr_1"]
    assert found["top1_lr_0.001"] < found["top1_lr_1"]


def test_cached_features_are_solved_under_a_name_of_their_own(call, pretrained, capsys):
    call(linear, "--cache_features", "--untrained")
    out = capsys.readouterr().out
    found = json.loads(out.splitlines()[-1])
    assert found["linear_cached_top1"] > 90 and found["images"] == 72
    assert "held-out top-1: l2 0.0001" in out and "untrained" in out
    assert results(pretrained, "evaluation.json") == {
        "linear_cached_top1_untrained": found["linear_cached_top1"]
    }


def test_fine_tuning_learns_from_a_part_of_the_labels(call, pretrained, tmp_path):
    options = ["--label_fraction=0.5", "--steps=12", "--lr=0.02", "--schedule=8", "--lr_scale=fc:10"]
    call(finetune, *options, model_dir=tmp_path / "a")
    found = results(tmp_path / "a")
    assert found["images"] == 36 and found["finetune_top1"] > 60
    assert "encoder_unchanged" not in found
    found = {"finetune_top1": found["finetune_top1"]}
    assert results(pretrained, "evaluation.json") == found


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--batch_size=100"], "there are only 72 labelled images to train on"),
        (["--lr_sweep=1,1"], "expected different rates above 0"),
        (["--dataset=patches", "--data_dir=x"], "which is embedded"),
        (["--pretrained=/nowhere"], "expected the --model_dir of a run"),
    ],
)
def test_mistakes_take_one_line(call, tmp_path, arguments, message):
    with pytest.raises(UserError, match=message) as caught:
        call(linear, *arguments, model_dir=tmp_path / "a")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("options", [["--cache_features"], ["--epochs=1", "--schedule=1"]])
def test_too_many_bad_images_are_told_in_one_line(call, images, tmp_path, options):
    shutil.copytree(images, tmp_path / "spoilt")
    for name in ("0.png", "1.png"):
        (tmp_path / "spoilt" / "train" / "red" / name).write_bytes(b"no image")
    where = ["--dataset=folder", f"--data_dir={tmp_path / 'spoilt'}", "--max_bad_images=0.01"]
    with pytest.raises(UserError, match="of 72 images .* do not decode, more than"):
        call(linear, *where, *options, model_dir=tmp_path / "a")


def test_a_checkpoint_of_another_width_is_told(call, pretrained, tmp_path):
    config = pretrained / "flags.cfg"
    config.write_text(config.read_text().replace("--width=0.125", "--width=0.25"))
    with pytest.raises(UserError, match="is of another architecture"):
        call(linear, model_dir=tmp_path / "a")


@pytest.mark.parametrize("value", ["fc", "fc:x", ":2", "fc:-1", "fc:nan"])
def test_rates_of_layers_that_are_none_are_told(call, tmp_path, value):
    with pytest.raises(UserError, match="expected LAYER:FACTOR"):
        call(finetune, f"--lr_scale={value}", model_dir=tmp_path / "a")


def test_a_rate_for_no_layer_is_told(call, tmp_path):
    with pytest.raises(UserError, match="--lr_scale=head:…: no layer's name begins so.* bn1, fc$"):
        call(finetune, "--lr_scale=head:2", model_dir=tmp_path / "a")


def test_what_is_missing_is_told_and_help_has_the_protocols_defaults():
    missing = processes.run("linear")
    assert missing.code == 2 and "--pretrained=runs/v2" in missing.err
    assert len(missing.err.splitlines()) == 1
    text = " ".join(processes.run("linear", "--help").out.split())
    assert "--lr: Learning rate. (default: '30.0')" in text and "--cache_features" in text
    assert "moco_k" not in text


@pytest.mark.parametrize("module", [linear, finetune])
def test_every_flag_has_help_of_its_own(module):
    own = flags.FLAGS.get_key_flags_for_module(module.__name__)
    texts = [flag.help for flag in own]
    assert len(set(texts)) == len(texts) > 30 and min(map(len, texts)) > 8
    assert set(own) >= set(flags.FLAGS.get_key_flags_for_module(supervised_flags.__name__))
