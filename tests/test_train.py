"""`python -m mocotf.train` as a user types it."""

import glob
import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from absl import flags

from mocotf import train
from mocotf.cli import fit_flags
from mocotf.cli import train_flags
from mocotf.errors import UserError
from mocotf.training.saved import open_run
from tests.commands import set_flags
from tests.data.support import example
from tests.data.support import write_colours
from tests.data.support import write_records

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SMALL = [
    "--flagfile=flags/demo.cfg", "--width=0.125", "--batch_size=64", "--moco_k=256", "--log_every=2"
]  # fmt: skip


def command(*arguments, **kwargs):
    return subprocess.Popen(
        [sys.executable, "-m", "mocotf.train", *arguments],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **kwargs,
    )


def run(*arguments):
    process = command(*arguments)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def results(folder):
    return json.loads((folder / "results.json").read_text())


def comparable(records):
    timed = {"time", "images_per_second", "data_wait"}
    return [{k: v for k, v in record.items() if k not in timed} for record in records]


def checkpoint(folder, step):
    reader = tf.train.load_checkpoint(str(folder / "checkpoints" / f"ckpt-{step}"))
    names = [n for n in reader.get_variable_to_shape_map() if "OBJECT_GRAPH" not in n]
    # How long the step waited for data is the one thing saved that is measured.
    return {n: reader.get_tensor(n) for n in names if "data_wait" not in n and "save_counter" not in n}


def test_a_run_of_the_saved_flags_killed_and_resumed_ends_as_one_never_killed(tmp_path):
    flags_ = [*SMALL, "--steps=24", "--checkpoint_every=5", "--knn_every=0"]
    code, out, _ = run(*flags_, f"--model_dir={tmp_path / 'whole'}", "--json")
    assert code == 0
    printed = json.loads(out.splitlines()[-1])
    assert printed["steps"] == 24 and printed == results(tmp_path / "whole")

    again = f"--flagfile={tmp_path / 'whole' / 'flags.cfg'}", f"--model_dir={tmp_path / 'killed'}"
    killed = command(*again)
    deadline = time.time() + 120
    while not (tmp_path / "killed" / "checkpoints" / "ckpt-10.index").exists():
        assert time.time() < deadline and killed.poll() is None
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    code, out, _ = run(*again)
    assert code == 0
    resumed_at = int(re.search(r"resuming .* at step (\d+) of 24", out)[1])
    assert 10 <= resumed_at < 24

    assert comparable(metrics(tmp_path / "whole")) == comparable(metrics(tmp_path / "killed"))
    saved = [(tmp_path / name / "flags.cfg").read_text() for name in ("whole", "killed")]
    assert saved[0] == saved[1]
    whole, killed = checkpoint(tmp_path / "whole", 24), checkpoint(tmp_path / "killed", 24)
    assert whole.keys() == killed.keys()
    for name, value in whole.items():
        np.testing.assert_array_equal(value, killed[name], err_msg=name)


def test_two_replicas_train_and_the_results_name_what_knn_gave(tmp_path):
    code, out, err = run(
        *SMALL,
        "--strategy=mirrored",
        "--num_logical_devices=2",
        "--grad_accum_steps=2",
        "--probe",
        "--steps=20",
        f"--model_dir={tmp_path}",
    )
    assert code == 0, err
    found = results(tmp_path)
    assert {"knn_top1", "knn_top1_untrained", "knn_top1_pixels"} <= found.keys()
    assert "raw pixels" in out and "step 20/20" in out
    assert metrics(tmp_path)[-1]["knn_top1"] == found["knn_top1"]
    assert 0 < metrics(tmp_path)[-1]["probe_loss"] < 3


@pytest.mark.parametrize(
    "options",
    [
        ["--mechanism=end_to_end", "--symmetric", "--augment_on=device"],
        ["--mechanism=npid", "--bn_splits=1", "--bank_dtype=bfloat16", "--augment_on=device"],
    ],
    ids=lambda options: options[0].partition("=")[2],
)
def test_every_mechanism_trains_on_two_replicas_and_its_encoder_is_handed_on(tmp_path, options):
    options = [*SMALL, *options, "--strategy=mirrored", "--num_logical_devices=2", "--probe"]
    code, out, err = run(*options, "--steps=24", f"--model_dir={tmp_path}")
    assert code == 0 and "encoder at the end" in out, err
    found = results(tmp_path)
    assert found["knn_top1"] > found["knn_top1_untrained"] + 3
    saved = open_run(str(tmp_path))
    assert saved.config.mechanism in options[len(SMALL)]
    assert saved.encoder()(np.zeros([1, 32, 32, 3], np.float32)).shape == (1, 64)


def test_a_sharded_bank_is_exact_over_a_resume(tmp_path):
    options = [*SMALL, "--mechanism=memory_bank", "--bn_splits=1", "--shard_bank", "--knn_every=0"]
    options += ["--strategy=mirrored", "--num_logical_devices=2", "--steps=6", "--checkpoint_every=3"]
    options += [f"--model_dir={tmp_path}"]
    code, _, err = run(*options)
    assert code == 0, err
    whole = checkpoint(tmp_path, 6)
    for old in tmp_path.glob("checkpoints/ckpt-6.*"):
        old.unlink()  # as if the run had been killed after step 3
    code, out, err = run(*options, "--noshard_bank")  # who holds which entry changes no bit
    assert code == 0 and "at step 3 of 6" in out, err
    for name, value in checkpoint(tmp_path, 6).items():
        np.testing.assert_array_equal(value, whole[name], err_msg=name)


def test_a_compiled_run_in_float16_on_one_thread_is_quiet_and_resumes(tmp_path):
    options = [*SMALL, "--precision=mixed_float16", "--jit_compile", "--intra_op_threads=1"]
    options += ["--knn_every=0", "--steps=4", "--checkpoint_every=2", f"--model_dir={tmp_path}"]
    code, out, err = run(*options, "--inter_op_threads=1")
    assert code == 0 and err == "" and "step 4/4" in out
    loss = metrics(tmp_path)[-1]["loss"]
    for old in tmp_path.glob("checkpoints/ckpt-4.*"):
        old.unlink()  # as if the run had been killed after step 2
    code, out, err = run(*options, "--inter_op_threads=2")
    assert code == 0 and "at step 2 of 4" in out, err
    assert metrics(tmp_path)[-1]["loss"] == loss


@pytest.mark.parametrize(
    ("argument", "code", "message"),
    [
        ("--moco_kk=1", 2, "Unknown command line flag 'moco_kk'. Did you mean: moco_k"),
        ("--dataset=folder", 1, "--data_dir is missing; expected a folder of images"),
    ],
)
def test_a_mistake_is_one_line_and_an_exit_code(tmp_path, argument, code, message):
    found, out, err = run(argument, f"--model_dir={tmp_path / 'new'}")
    assert found == code
    assert err.startswith("error: ") and message in err and len(err.splitlines()) == 1
    assert out == "" and not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--arch=resnet51", "value should be one of <resnet10|resnet18"),
        ("--shuffle_bn=true", "value should be one of <gather|input|off>"),
    ],
)
def test_a_value_that_is_none_of_a_few_is_told_which_they_are(argument, message):
    with pytest.raises(flags.IllegalFlagValueError, match=re.escape(message)):
        set_flags(argument)


@pytest.fixture
def try_flags(tmp_path):
    """Returns a function that runs `main` in this process, for mistakes found before training."""

    def attempt(*arguments):
        set_flags("--strategy=one_device", f"--model_dir={tmp_path / 'new'}", *arguments)
        train.main()

    return attempt


MISTAKES = [
    (["--dataset=tfrecord"], "--data_dir is missing; expected a folder or a pattern of shards"),
    (["--num_images=9"], "--num_images=9 does nothing with --dataset=patches"),
    (["--data_service=grpc://a:1"], "runs TensorFlow's operators only; try --host_ops=tensorflow"),
    (["--data_service=a:1", "--host_ops=tensorflow"], "a:1: expected grpc://HOST:PORT"),
    (["--data_dir=photos"], "for your own images: --dataset=folder"),
    (["--dataset=folder", "--data_dir=/nowhere"], "/nowhere: no such folder"),
    (["--dataset=no_such_set"], "neither patches, folder, tfrecord, tfds nor a data set"),
    (["--moco_k=100"], "smaller than the 256 keys enqueued a step; expected at least that; try"),
    (["--moco_k=300", "--symmetric"], "smaller than the 512 keys enqueued a step"),
    (["--batch_size=6401"], "has only 6400 images; expected at least one batch; try"),
    (["--batch_size=100", "--bn_splits=8"], r"multiple of 8 \(1 replicas x --bn_splits=8 x .* try 96"),
    (["--grad_accum_steps=3"], r"multiple of 3 \(1 .*x --grad_accum_steps=3\); try 255"),
    (
        ["--shuffle_bn=input", "--symmetric"],
        "to place them twice saves nothing; try --shuffle_bn=gather",
    ),
    (["--cos", "--schedule=10"], "--cos and --schedule contradict each other"),
    (["--exp_steps=5", "--cos"], "--cos and --exp_steps contradict each other"),
    (["--blur_prob=.5"], "--blur_prob does nothing without --aug_plus"),
    (["--num_logical_devices=2"], "--strategy=one_device contradict each other"),
    (["--strategy=multi_worker"], "--strategy=multi_worker contradicts what names the workers"),
    (["--worker_index=1"], "--worker_index=1 without --workers; expected both"),
    (["--jit_compile", "--strategy=mirrored"], "--jit_compile with 4 replicas: XLA cannot compile"),
    (["--jitter=.4,.4"], "--jitter=.4,.4: expected 4 numbers separated by commas"),
    (["--std=0,1,1"], "--std=0,1,1: expected three numbers above 0"),
    (["--jitter=.4,.4,.4,3"], "that of hue up to .5"),
    (["--moco_t=nan"], "--moco_t=nan: expected a finite number"),
    (["--schedule=a"], "--schedule=a: expected some numbers"),
    (
        ["--mechanism=end_to_end", "--batch_size=1"],
        "other images of the batch; expected at least 2",
    ),
    (["--mechanism=npid", "--moco_k=6401"], "more negatives than the 6400 images they are drawn from"),
    (["--mechanism=memory_bank", "--moco_k=6401"], "expected at most that; try --moco_k=1600"),
    (
        ["--mechanism=npid", "--npid_softmax=full", "--moco_dim=500000000", "--arch=resnet10"],
        "a bank of 6400 x 500000000 numbers .* takes 12800.0 GB, .*; try --bank_dtype=bfloat16",
    ),
    (["--proximal=1"], "--proximal=1.0 with --mechanism=moco: is for npid only; drop it"),
    (["--mechanism=memory_bank", "--symmetric"], "is for moco and end_to_end only; drop it"),
    (["--mechanism=end_to_end", "--grad_accum_steps=2"], "is for moco only; drop it"),
    (["--mechanism=npid", "--shard_bank"], "--shard_bank with one replica: there is nobody to share"),
    (
        ["--mechanism=npid", "--shard_bank", "--npid_softmax=full"],
        "needs all entries at once; try --npid_softmax=nce",
    ),
]


FOLDER = ["--dataset=folder", "--image_size=16", "--batch_size=4", "--moco_k=16", "--arch=resnet10"]
FOLDER += ["--width=0.125", "--stem=small", "--bn_splits=2", "--knn_every=0", "--log_every=1"]


def test_augmentation_on_two_devices_is_exact_over_a_resume(tmp_path):
    write_colours(str(tmp_path / "photos"), 8)
    options = [*FOLDER, "--aug_plus", f"--data_dir={tmp_path / 'photos'}", "--augment_on=device"]
    options += ["--num_logical_devices=2", "--bn_splits=1", "--checkpoint_every=2", "--steps=4"]
    code, _, err = run(*options, f"--model_dir={tmp_path / 'gather'}")
    assert code == 0, err
    options += ["--shuffle_bn=input"]
    code, _, err = run(*options, f"--model_dir={tmp_path / 'whole'}")
    assert code == 0, err
    # Who permutes the key images, before or after their augmentation, changes nothing.
    losses = [[m["loss"] for m in metrics(tmp_path / run)[1:]] for run in ("gather", "whole")]
    np.testing.assert_allclose(*losses, rtol=1e-4)
    shutil.copytree(tmp_path / "whole", tmp_path / "stopped")
    for old in glob.glob(str(tmp_path / "stopped" / "checkpoints" / "ckpt-4.*")):
        os.remove(old)  # as if the run had been killed after step 2
    # What was short of memory may go on with --remat, which changes no result.
    code, out, err = run(*options, "--remat", f"--model_dir={tmp_path / 'stopped'}")
    assert code == 0 and "at step 2 of 4" in out, err
    assert comparable(metrics(tmp_path / "whole")) == comparable(metrics(tmp_path / "stopped"))


def test_too_many_bad_images_stop_a_run_in_one_line(tmp_path):
    write_colours(str(tmp_path / "photos"), 16)
    for i in (2, 5, 7):
        (tmp_path / "photos" / f"bad{i}.jpg").write_bytes(b"no image")
    options = [*FOLDER, f"--data_dir={tmp_path / 'photos'}", "--steps=12"]
    code, _, err = run(*options, f"--model_dir={tmp_path / 'run'}")
    last = err.splitlines()[-1]
    assert code == 1 and "Traceback" not in err
    assert last.startswith("error: ") and "do not decode, more than --max_bad_images=0.1" in last
    code, out, err = run(*options, f"--model_dir={tmp_path / 'run'}", "--max_bad_images=.3")
    assert code == 0, err
    assert "3 images did not decode" in out
    names = (tmp_path / "run" / "bad_images.txt").read_text().splitlines()
    assert sorted(os.path.basename(name) for name in names) == ["bad2.jpg", "bad5.jpg", "bad7.jpg"]


def test_shards_are_trained_on_and_an_empty_one_is_named(tmp_path):
    write_colours(str(tmp_path / "photos"), 8, suffixes=("png",))
    images = [path.read_bytes() for path in sorted((tmp_path / "photos").iterdir())]
    for shard in range(2):
        records = [example(image__encoded=image) for image in images[shard::2]]
        write_records(tmp_path / "shards" / f"train-{shard}", records)
    (tmp_path / "shards" / "train-9").write_bytes(b"")
    options = [*FOLDER, "--dataset=tfrecord", f"--data_dir={tmp_path / 'shards'}", "--steps=3"]
    code, out, err = run(*options, f"--model_dir={tmp_path / 'run'}", "--max_bad_images=.2")
    assert code == 0, err
    assert "step 3/3" in out
    assert "train-9" in (tmp_path / "run" / "bad_images.txt").read_text()
    options += ["--mechanism=memory_bank", f"--model_dir={tmp_path / 'bank'}", "--max_bad_images=.2"]
    options += ["--moco_k=8"]
    code, out, err = run(*options, "--num_images=8")
    assert code == 1 and "images have no index, and no place in the bank; drop --num_images" in err
    code, out, err = run(*options)
    assert code == 0 and "step 3/3" in out, err


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=[m[0][0] for m in MISTAKES])
def test_every_mistake_says_what_to_do_and_writes_nothing(tmp_path, try_flags, arguments, message):
    with pytest.raises(UserError, match=message) as error:
        try_flags(*arguments)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "new").exists()


def test_an_empty_folder_and_another_run_are_refused(tmp_path, try_flags):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no images found"):
        try_flags("--dataset=folder", f"--data_dir={tmp_path / 'empty'}")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "flags.cfg").write_text("--arch=resnet18\n")
    with pytest.raises(UserError, match="holds another run"):
        try_flags()


def test_help_explains_the_flags():
    code, out, _ = run("--help")
    assert code == 0
    assert "--moco_m: Momentum m of the key encoder: theta_k <- m theta_k" in " ".join(out.split())


def test_every_flag_has_help_of_its_own():
    own = train_flags.FLAGS.get_key_flags_for_module("mocotf.cli.train_flags")
    texts = [flag.help for flag in own]
    assert len(own) > 40 and len(set(texts)) == len(texts) and min(map(len, texts)) > 8
    assert "theta_k <- m theta_k + (1 - m) theta_q" in train_flags.FLAGS["moco_m"].help


@pytest.mark.parametrize("name", sorted(os.listdir(os.path.join(ROOT, "flags"))))
def test_recipes_parse_and_say_command_time_and_accuracy(name, tmp_path):
    path = os.path.join(ROOT, "flags", name)
    with open(path, encoding="utf-8") as lines:
        text = "".join(line for line in lines if line.startswith("#"))
    assert f"--flagfile=flags/{name}" in text and "Time" in text and "Accuracy" in text
    own = importlib.import_module(re.search(r"python -m (mocotf\.\w+)", text)[1])
    set_flags(f"--flagfile={path}", f"--model_dir={tmp_path}", "--data_dir=photos")
    if flags.FLAGS.dataset == "patches":
        flags.FLAGS["data_dir"].unparse()
    (train_flags if own is train else fit_flags).check()
