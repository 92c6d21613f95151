"""`python -m mocotf.linear` and `python -m mocotf.finetune` on a small run."""

import csv
import json
import shutil

import numpy as np
import pytest

from mocotf import finetune
from mocotf import linear
from mocotf.errors import UserError
from mocotf.evaluation import protocol
from mocotf.evaluation.head import open_head
from mocotf.moco.saved_run import open_run
from tests import commands
from tests import processes
from tests.saved_run import write_run
from tests.trained import CLASSES

QUICK = ["--batch_size=12", "--log_every=2", "--strategy=one_device", "--train_crop_min=0.5"]
QUICK += ["--measure_every=100"]  # at the end


@pytest.fixture(scope="module")
def images(trained):
    return trained / "pictures"


@pytest.fixture
def pretrained(tmp_path, once, images):
    """Returns a run on the images, which a test may write to."""
    flags = {"dataset": "folder", "data_dir": str(images)}
    made = once("supervised", lambda folder: write_run(folder / "run", **flags))
    return shutil.copytree(made / "run", tmp_path / "run")


@pytest.fixture
def call(call):
    return lambda module, *arguments, **where: call(module, *QUICK, *arguments, **where)


def evaluation(run):
    """Returns what was measured of the run, which has taken two steps."""
    found = commands.results(run, "evaluation.json")
    steps = {name.removesuffix("_step"): found.pop(name) for name in [*found] if name.endswith("_step")}
    assert steps == dict.fromkeys([name for name in found if not name.endswith("_untrained")], 2)
    return found


def test_a_linear_run_tells_colours_apart_and_resumes_bit_for_bit(call, pretrained, tmp_path, capsys):
    options = ["--lr=1", "--epochs=3", "--schedule=2", "--checkpoint_every=6", "--weight_decay=0"]
    options, whole = [*options, "--measure_every=2"], tmp_path / "whole"
    call(linear, *options, model_dir=whole)
    found = commands.results(whole)
    assert found["linear_top1"] > 90 and found["encoder_unchanged"] is True
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == found
    assert evaluation(pretrained) == {"linear_top1": found["linear_top1"]}
    with open(whole / "confusion.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == sorted(CLASSES)
    assert {row["images"] for row in rows} == {"8"}
    assert (whole / "checkpoints" / "best").is_dir()

    cut = commands.forget(shutil.copytree(whole, tmp_path / "cut"), 18)
    call(linear, *options, model_dir=cut)
    assert "resuming" in capsys.readouterr().out and commands.results(cut) == found
    commands.assert_same(commands.variables(whole), commands.variables(cut))


def test_a_run_that_trains_on_meanwhile_may_delete_the_checkpoint(
    call, pretrained, tmp_path, monkeypatch
):
    real = protocol.Run.train

    def train(run):
        shutil.rmtree(pretrained / "checkpoints")
        real(run)

    monkeypatch.setattr(protocol.Run, "train", train)
    call(linear, "--epochs=1", "--schedule=1", model_dir=tmp_path / "a")
    assert commands.results(tmp_path / "a")["encoder_unchanged"] is True


def test_labels_that_say_nothing_give_chance(call, pretrained, tmp_path):
    options = ["--labels=constant", "--lr=1", "--epochs=1", "--schedule=1"]
    call(linear, *options, model_dir=tmp_path / "a")
    assert commands.results(tmp_path / "a")["linear_top1"] == pytest.approx(100 / 3)
    assert not (pretrained / "evaluation.json").exists()


def test_a_sweep_is_one_run(call, pretrained, tmp_path):
    options = ["--lr_sweep=0.001,1", "--epochs=3", "--schedule=2", "--untrained"]
    call(linear, *options, model_dir=tmp_path / "a")
    found = commands.results(tmp_path / "a")
    assert evaluation(pretrained) == {"linear_top1_untrained": found["linear_top1"]}
    assert found["head"] == "lr_1" and found["linear_top1"] == found["top1_lr_1"]
    assert found["top1_lr_0.001"] < found["top1_lr_1"]


def test_cached_features_are_solved_under_a_name_of_their_own(call, pretrained, capsys):
    call(linear, "--cache_features", "--untrained")
    out = capsys.readouterr().out
    found = json.loads(out.splitlines()[-1])
    assert found["linear_cached_top1"] > 90 and found["images"] == 72
    assert "held-out top-1: l2 0.0001" in out and "untrained" in out
    assert evaluation(pretrained) == {"linear_cached_top1_untrained": found["linear_cached_top1"]}


def test_fine_tuning_learns_from_a_part_of_the_labels_and_tells_classes(
    call, images, pretrained, tmp_path
):
    options = ["--label_fraction=0.5", "--steps=12", "--lr=0.02", "--schedule=8", "--lr_scale=fc:10"]
    call(finetune, *options, model_dir=tmp_path / "a")
    found = commands.results(tmp_path / "a")
    assert found["images"] == 36 and found["finetune_top1"] > 60
    assert "encoder_unchanged" not in found
    assert evaluation(pretrained) == {"finetune_top1": found["finetune_top1"]}

    run = open_run(str(tmp_path / "a"))
    assert run.step == 12 and run.base.path == str(pretrained)
    tuned = run.encoder().backbone.get_weights()
    assert not np.array_equal(tuned[0], run.base.encoder().backbone.get_weights()[0])
    told = tmp_path / "labels.csv"
    where = [f"--model_dir={tmp_path / 'a'}", f"--data_dir={images / 'val'}", f"--out={told}"]
    done = processes.succeed("predict", *where, "--top=2", "--json")
    first, last, _ = done.out.splitlines()
    assert first == f"{images / 'val'}: 24 images (100 % PNG, 20×20)" and last.startswith(
        f"{told}: 24 images; "
    )
    with open(told, encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    right = sum(row["image"].startswith(f"{row['label']}/") for row in rows)
    assert 100 * right / 24 == pytest.approx(found["finetune_top1"])
    assert all(float(row["probability"]) >= float(row["probability_2"]) >= 0 for row in rows)
    assert done.json["images"] == 24 == sum(done.json["classes"].values())
    processes.refuse("predict", where, "exists; expected the name of a new file")
    with pytest.raises(UserError, match="is a pre-training run, which knows no classes"):
        open_head(run.base)


@pytest.mark.slow
def test_a_fine_tuned_run_is_handed_on_like_others(call, images, trained, tmp_path):
    begin = shutil.copytree(trained / "run", tmp_path / "resnet")
    options = [
        "--steps=12",
        "--lr=0.02",
        "--schedule=8",
        f"--pretrained={begin}",
        f"--data_dir={images}",
    ]
    call(finetune, *options, model_dir=tmp_path / "a")
    run, where = f"--model_dir={tmp_path / 'a'}", f"--data_dir={images}"
    found = processes.succeed("export", run, f"--export_dir={tmp_path / 'served'}", "--json").json
    assert found["classes"] == sorted(CLASSES) and "classify" in found["signatures"]
    processes.succeed("embed", run, where, f"--out={tmp_path / 'vectors.npz'}")
    vectors = np.load(tmp_path / "vectors.npz")["vectors"]
    processes.succeed("convert", "--to=keras", str(tmp_path / "a"), str(tmp_path / "a.keras"))
    again = [f"--model_dir={tmp_path / 'a.keras'}", where, f"--out={tmp_path / 'again.npz'}"]
    processes.succeed("embed", *again)
    np.testing.assert_allclose(
        np.load(tmp_path / "again.npz")["vectors"], vectors, rtol=1e-4, atol=1e-5
    )
    assert processes.succeed("knn", run, where, "--k=5", "--json").json["knn_top1"] > 90
    message = "is a supervised run, which has neither queue nor key encoder"
    processes.refuse("convert", ["--to=torch", str(tmp_path / "a"), str(tmp_path / "b")], message)


NO_RATES = [f"--lr_scale={text}" for text in ("fc", "fc:x", ":2", "fc:-1", "fc:nan")]


@pytest.mark.parametrize(
    ("module", "arguments", "message"),
    [
        (linear, ["--batch_size=100"], "there are only 72 labelled images to train on"),
        (linear, ["--lr_sweep=1,1"], "expected each rate once"),
        (linear, ["--dataset=patches", "--data_dir=x"], "which is embedded"),
        (linear, ["--pretrained=/nowhere"], "expected the --model_dir of a run"),
        *((finetune, [argument], "expected LAYER:FACTOR") for argument in NO_RATES),
        (finetune, ["--lr_scale=head:2"], "--lr_scale=head:…: no layer's name begins so.* bn1, fc$"),
    ],
)
def test_mistakes_take_one_line(call, tmp_path, module, arguments, message):
    with pytest.raises(UserError, match=message) as caught:
        call(module, *arguments, model_dir=tmp_path / "a")
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


def test_what_is_missing_is_told_and_help_has_the_protocols_defaults():
    processes.refuse("linear", [], "--pretrained=runs/v2", code=2)
    text = " ".join(processes.run("linear", "--help").out.split())
    assert "--lr=30.0 Learning rate." in text and "--cache_features" in text
    assert "moco_k" not in text
