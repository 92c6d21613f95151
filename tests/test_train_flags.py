"""The flags of `python -m mocotf.train`: mistakes, help, recipes."""

import importlib
import os
import pathlib
import re

import pytest
from absl import flags

from mocotf import train
from mocotf.api.supervised import training_of
from mocotf.cli import settings_flags
from mocotf.cli import train_flags
from mocotf.errors import UserError
from mocotf.nn import xla
from mocotf.settings import texts_of
from mocotf.training.flags_file import write_flags
from tests import processes
from tests.commands import set_flags

FLAGFILES = pathlib.Path(processes.ROOT, "flags")


def test_a_mistake_is_one_line_and_an_exit_code(tmp_path):
    for argument, code, message in (
        ("--moco_kk=1", 2, "--moco_kk: no such flag; did you mean --moco_k"),
        ("--dataset=folder", 1, "--data_dir is missing; expected a folder of images"),
    ):
        processes.refuse("train", [argument, f"--model_dir={tmp_path / 'new'}"], message, code)
        assert not (tmp_path / "new").exists()


def test_a_value_that_is_none_is_told_what_is_expected():
    for argument, message in (
        ("--shuffle_bn=true", "expected one of gather, input, off"),
        ("--mechanism=byol", "expected one of moco, end_to_end, memory_bank, npid, simclr, simsiam"),
        ("--jitter=.4,.4", "expected 4 numbers separated by commas from 0"),
        ("--std=0,1,1", "expected some numbers separated by commas from 1e-06"),
        ("--moco_t=nan", "expected a finite number from 1e-06"),
        ("--schedule=a", "expected some numbers separated by commas"),
        ("--jit_compile=perhaps", "expected auto, true or false"),
    ):
        with pytest.raises(flags.IllegalFlagValueError, match=re.escape(f"{argument}: {message}")):
            set_flags(argument)


def attempt(tmp_path, *arguments):
    """Runs `main` in this process, for mistakes found before training."""
    set_flags("--strategy=one_device", f"--model_dir={tmp_path / 'new'}", *arguments)
    train.main()


FULL = "--mechanism=npid --npid_softmax=full"
LARGE = "a bank of 6400 x 500000000 numbers .* takes 12800.0 GB,"
MISTAKES = [
    ("--dataset=tfrecord", "--data_dir is missing; expected a folder or a pattern of shards"),
    ("--num_images=9", "--num_images=9 does nothing with --dataset=patches"),
    ("--data_service=grpc://a:1", "runs TensorFlow's operators only; try --host_ops=tensorflow"),
    ("--data_service=a:1 --host_ops=tensorflow", "a:1: expected grpc://HOST:PORT"),
    ("--data_dir=photos", "for your own images: --dataset=folder"),
    ("--dataset=folder --data_dir=/nowhere", "/nowhere: no such folder"),
    ("--dataset=no_such_set", "neither patches, folder, hf, tfrecord, tfds nor a data set"),
    ("--moco_k=100", "smaller than the 256 keys enqueued a step; expected at least that; try"),
    ("--moco_k=300 --symmetric", "smaller than the 512 keys enqueued a step"),
    ("--batch_size=6401", "has only 6400 images; expected at least one batch; try"),
    ("--batch_size=100 --bn_splits=8", r"multiple of 8 \(1 replicas x --bn_splits=8 x .* try 96"),
    ("--grad_accum_steps=3", r"multiple of 3 \(1 .*x --grad_accum_steps=3\); try 255"),
    ("--shuffle_bn=input --symmetric", "to place them twice saves nothing; try --shuffle_bn=gather"),
    ("--cos --schedule=10", "--cos and --schedule contradict each other"),
    ("--exp_steps=5 --cos", "--cos and --exp_steps contradict each other"),
    ("--blur_prob=.5", "--blur_prob does nothing without --aug_plus"),
    ("--show_channels=1", "--show_channels does nothing without --channels: drop it"),
    (
        "--channels=2 --mean=1,1 --std=1,1 --show_channels=1,2",
        "expected one number or three, from 1 to 2",
    ),
    (
        "--channels=2 --mean=1,1 --std=1,1 --show_channels=3",
        "=3 with --channels=2: expected one number",
    ),
    ("--num_logical_devices=2", "--strategy=one_device contradict each other"),
    ("--strategy=multi_worker", "--strategy=multi_worker contradicts what names the workers"),
    ("--worker_index=1", "--worker_index=1 without --workers; expected both"),
    ("--jit_compile --strategy=mirrored", "--jit_compile with 4 replicas: XLA cannot compile"),
    ("--arch=resnet51", "--arch=resnet51: expected one of <resnet10|resnet18"),
    ("--remat --arch=tests.tiny:backbone", "backbone: --remat needs a ResNet: resnet10"),
    ("--jitter=1.6,.4,.4,.1", "--jitter=1.6,0.4,0.4,0.1: expected strengths up to 1"),
    ("--jitter=.4,.4,.4,3", "expected a strength of hue, the last, up to .5"),
    ("--mechanism=end_to_end --batch_size=1", "other images of the batch; expected at least 2"),
    ("--mechanism=npid --moco_k=6401", "more negatives than the 6400 images they are drawn from"),
    ("--mechanism=memory_bank --moco_k=6401", "expected at most that; try --moco_k=1600"),
    (f"{FULL} --moco_dim=500000000 --arch=resnet10", f"{LARGE} .*; try --bank_dtype=bfloat16"),
    ("--proximal=1", "--proximal=1.0 with --mechanism=moco: is for npid only; drop it"),
    ("--mechanism=memory_bank --symmetric", "is for moco and end_to_end only; drop it"),
    ("--predictor_dim=9", "--predictor_dim=9 with --mechanism=moco: is for simsiam only; drop it"),
    ("--mechanism=end_to_end --grad_accum_steps=2", "is for moco only; drop it"),
    ("--mechanism=npid --shard_bank", "--shard_bank with one replica: there is nobody to share"),
    (f"{FULL} --shard_bank", "needs all entries at once; try --npid_softmax=nce"),
    ("--positives=group", "--dataset=patches: its images have no groups; expected --dataset=folder"),
    ("--group_by=folder", "--group_by=folder does nothing without --positives=group: add it, or drop"),
    ("--max_gap=2", "--max_gap=2 does nothing without --positives=group: add it, or drop --max_gap"),
    (
        "--positives=group --group_by=(",
        r"--group_by=\(: missing \).*; expected folder, or a regular exp",
    ),
    (
        "--positives=group --mechanism=npid",
        "npid: an image's key is what it was encoded to before; exp",
    ),
    ("--query_crop_min=.1 --mechanism=memory_bank", "memory_bank: no view is a key only; expected"),
    ("--key_crop_min=.9 --mechanism=simclr", "0.9 with --mechanism=simclr: no view is a key only; exp"),
    ("--key_crop_min=.9 --mechanism=simsiam", "simsiam: no view is a key only; expected --crop_min"),
    (
        "--key_crop_min=.9 --symmetric",
        "0.9 with --symmetric: no view is a key only; expected --crop_min",
    ),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=[m[0] for m in MISTAKES])
def test_every_mistake_says_what_to_do_and_writes_nothing(tmp_path, arguments, message):
    with pytest.raises(UserError, match=message) as error:
        attempt(tmp_path, *arguments.split())
    assert "\n" not in str(error.value)
    assert not (tmp_path / "new").exists()


def test_an_empty_folder_and_another_run_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no images found"):
        attempt(tmp_path, "--dataset=folder", f"--data_dir={tmp_path / 'empty'}")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "flags.cfg").write_text("--arch=resnet18\n")
    with pytest.raises(UserError, match="holds another run"):
        attempt(tmp_path)


@pytest.mark.parametrize("name", sorted(os.listdir(FLAGFILES)))
def test_recipes_parse_and_say_command_time_and_accuracy(name, tmp_path):
    path = FLAGFILES / name
    text = "".join(re.findall("^#.*\n", path.read_text(encoding="utf-8"), re.M))
    assert f"--flagfile=flags/{name}" in text and "Time" in text and "Accuracy" in text
    own = importlib.import_module(re.search(r"python -m (mocotf\.\w+)", text)[1])
    set_flags(f"--flagfile={path}", f"--model_dir={tmp_path}", "--data_dir=photos")
    if flags.FLAGS.dataset == "patches":
        flags.FLAGS["data_dir"].unparse()
    train_flags.read() if own is train else training_of(settings_flags.asked(), None)


# ---- --jit_compile: its forms, what is saved of it, and what an earlier run's file says

FORMS = [("", "auto"), ("--jit_compile=auto", "auto"), ("--jit_compile", True)]
FORMS += [("--jit_compile=true", True), ("--nojit_compile", False), ("--jit_compile=false", False)]


@pytest.mark.parametrize(("argument", "value"), FORMS)
def test_every_form_is_understood_and_saved_as_one_that_is(argument, value):
    set_flags(*argument.split())
    assert flags.FLAGS.jit_compile == value
    set_flags(f"--jit_compile={texts_of(train_flags.read().saved)['jit_compile']}")
    assert flags.FLAGS.jit_compile == value


@pytest.mark.parametrize(
    ("arguments", "saved", "expected"),
    [
        ([], "--jit_compile=auto\n", "what pays"),
        ([], "--lr=0.03\n", False),  # of a release without the flag
        ([], "--jit_compile=false\n", False),
        ([], "--jit_compile=true\n", True),
        (["--jit_compile"], "--jit_compile=false\n", True),
    ],
)
def test_a_run_stays_as_begun_unless_told_otherwise(monkeypatch, tmp_path, arguments, saved, expected):
    monkeypatch.setattr(xla, "pays", lambda _: "what pays")
    (tmp_path / "flags.cfg").write_text(saved)
    set_flags(f"--model_dir={tmp_path}", *arguments, resumes=True)
    assert xla.is_to_compile(flags.FLAGS.jit_compile, None) == expected
    assert "jit_compile" not in train_flags.read().texts()


def test_an_edited_run_is_resumed_once_its_flags_are_accepted(tmp_path):
    path = tmp_path / "flags.cfg"
    write_flags(path, {"lr": "0.5"})
    path.write_text(path.read_text().replace("0.5", "0.7"))
    with pytest.raises(flags.Error, match=r"flags.cfg: is damaged, or was changed since it was"):
        set_flags(f"--model_dir={tmp_path}", resumes=True)
    for accepted in (["--accept_changed_flags"], []):
        set_flags(f"--model_dir={tmp_path}", *accepted, resumes=True)
        assert flags.FLAGS.lr == 0.7
    set_flags(f"--flagfile={path}")  # absl's comments
    assert flags.FLAGS.lr == 0.7
