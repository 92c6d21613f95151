"""`python -m mocotf.train` as a user types it."""

import os
import re
import signal

import numpy as np
import pytest

from mocotf.moco.saved_run import open_run
from tests import commands
from tests import processes
from tests.data.support import example
from tests.data.support import write_colours
from tests.data.support import write_records
from tools.differences import compare

FOLDER = ["--dataset=folder", "--batch_size=4", "--moco_k=16"]


def test_a_run_of_the_saved_flags_killed_and_resumed_ends_as_one_never_killed(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done = commands.train(whole, "--steps=9", "--checkpoint_every=2", "--json")
    assert done.json["steps"] == 9 and done.json == commands.results(whole)

    again = f"--flagfile={whole / 'flags.cfg'}", f"--model_dir={killed}"
    assert processes.run("tests/killed.py", 7, *again).code == -signal.SIGKILL
    done = processes.succeed("train", *again)
    # The checkpoint of step 6 was being written, for which that of step 4 was complete.
    assert re.search(r"resuming .* at step [46] of 9", done.out), done
    assert compare(whole, killed, 9) == []
    assert (whole / "flags.cfg").read_text() == (killed / "flags.cfg").read_text()


MECHANISMS = [
    ["--mechanism=moco", "--grad_accum_steps=2"],
    ["--mechanism=end_to_end", "--symmetric", "--augment_on=device"],
    ["--mechanism=npid", "--bank_dtype=bfloat16", "--augment_on=device"],
    ["--mechanism=simsiam", "--predictor_dim=16"],
]


def train_and_hand_on(folder, *options):
    """Trains by two replicas, and returns what was found, after a use of the encoder."""
    done = commands.train(folder, *commands.TWO_REPLICAS, "--probe", "--knn_every=1", *options)
    assert "encoder at the end" in done.out
    saved = open_run(str(folder))
    assert f"--mechanism={saved.config.mechanism.NAME}" in options
    features = saved.encoder()(np.zeros([1, 32, 32, 3], np.float32)).shape
    assert features == (1, saved.config.encoder.moco_dim)
    last, found = commands.metrics(folder)[-1], commands.results(folder)
    assert {"knn_top1", "knn_top1_untrained", "knn_top1_pixels"} <= found.keys()
    assert last["knn_top1"] == found["knn_top1"] and 0 < last["probe_loss"] < 4
    return found


QUICK_AND_SLOW = [MECHANISMS[0]]
QUICK_AND_SLOW += [pytest.param(options, marks=pytest.mark.slow) for options in MECHANISMS[1:]]


@pytest.mark.parametrize("options", QUICK_AND_SLOW, ids=lambda options: options[0])
def test_every_mechanism_trains_on_two_replicas_and_its_encoder_is_handed_on(tmp_path, options):
    train_and_hand_on(tmp_path, *options, "--steps=2", "--knn_bank=100")


@pytest.mark.slow
@pytest.mark.parametrize("options", MECHANISMS, ids=lambda options: options[0])
def test_every_mechanism_learns(tmp_path, options):
    options = ["--arch=resnet10", "--image_size=32", "--batch_size=64", "--moco_k=256", *options]
    found = train_and_hand_on(tmp_path, *options, "--steps=24")
    assert found["knn_top1"] > found["knn_top1_untrained"] + 3


@pytest.mark.slow  # tests/moco/test_mechanisms.py has it too
def test_a_sharded_bank_is_exact_over_a_resume(tmp_path):
    options = [*commands.TWO_REPLICAS, "--mechanism=memory_bank", "--shard_bank", "--steps=4"]
    options.append("--checkpoint_every=2")
    commands.train(tmp_path, *options)
    whole = commands.variables(tmp_path)
    commands.forget(tmp_path, 4)
    done = commands.train(tmp_path, *options, "--noshard_bank")  # who holds which entry changes no bit
    assert "at step 2 of 4" in done.out
    commands.assert_same(commands.variables(tmp_path), whole)


COMPILED = ["--precision=mixed_float16", "--jit_compile", "--intra_op_threads=1"]


@pytest.mark.slow
def test_a_compiled_run_in_float16_on_one_thread_is_quiet(tmp_path):
    done = commands.train(tmp_path, *COMPILED, "--inter_op_threads=1", "--steps=2")
    assert done.err == "" and "step 2/2" in done.out


@pytest.mark.slow
def test_a_compiled_run_in_float16_resumes(tmp_path):
    options = [*COMPILED, "--arch=resnet10", "--checkpoint_every=2", "--steps=4"]
    commands.train(tmp_path, *options, "--inter_op_threads=1")
    loss = commands.metrics(tmp_path)[-1]["loss"]
    commands.forget(tmp_path, 4)
    assert "at step 2 of 4" in commands.train(tmp_path, *options, "--inter_op_threads=2").out
    assert commands.metrics(tmp_path)[-1]["loss"] == loss


@pytest.fixture
def on_two_devices(tmp_path):
    """Returns a function that trains on photographs, augmented by two devices: (name, options) →
    the `Result`; the run is the folder of that name."""
    write_colours(str(tmp_path / "photos"), 8)
    options = [*FOLDER, *commands.TWO_REPLICAS, f"--data_dir={tmp_path / 'photos'}"]
    options += ["--augment_on=device", "--checkpoint_every=2", "--steps=4"]
    return lambda name, *more: commands.train(tmp_path / name, *options, *more)


@pytest.mark.slow
def test_who_shuffles_augmented_images_changes_nothing(tmp_path, on_two_devices):
    for shuffle in ("gather", "input"):
        on_two_devices(shuffle, f"--shuffle_bn={shuffle}")
    losses = [[m["loss"] for m in commands.metrics(tmp_path / run)[1:]] for run in ("gather", "input")]
    np.testing.assert_allclose(*losses, rtol=1e-4)


@pytest.mark.slow
def test_augmentation_on_two_devices_is_exact_over_a_resume(tmp_path, on_two_devices):
    options = ["--arch=resnet10", "--shuffle_bn=input"]
    on_two_devices("run", *options)
    whole = commands.comparable(commands.metrics(tmp_path / "run"))
    commands.forget(tmp_path / "run", 4)
    # What was short of memory may go on with --remat, which changes no result.
    assert "at step 2 of 4" in on_two_devices("run", *options, "--remat").out
    assert commands.comparable(commands.metrics(tmp_path / "run")) == whole


ALL_ALIKE = pytest.param(8, "no two of the pictures", marks=pytest.mark.slow)


@pytest.mark.slow
@pytest.mark.parametrize(("copies", "said"), [(1, "retrieval"), ALL_ALIKE])
def test_a_verdict_ends_a_run_of_one_step_on_pictures_without_classes(tmp_path, copies, said):
    write_colours(str(tmp_path / "photos"), 8 // copies, suffixes=("png",))
    for i in range(1, copies):
        (tmp_path / "photos" / f"copy{i}.png").write_bytes((tmp_path / "photos/000.png").read_bytes())
    options = [*FOLDER, f"--data_dir={tmp_path / 'photos'}", "--knn_every=1", "--steps=1", "--json"]
    done = commands.train(tmp_path / "run", *options)
    *_, last, line = done.out.splitlines()
    assert last == f"Verdict: {done.json['verdict']}." and said in last.lower() and line
    assert done.json["learned"] is not True and done.json == commands.results(tmp_path / "run")
    assert "retrieval_auc_pixels" in done.json or copies > 1


@pytest.mark.slow
def test_too_many_bad_images_stop_a_run_in_one_line(tmp_path):
    write_colours(str(tmp_path / "photos"), 16)
    for i in (2, 5, 7):
        (tmp_path / "photos" / f"bad{i}.jpg").write_bytes(b"no image")
    options = [*FOLDER, f"--data_dir={tmp_path / 'photos'}", "--steps=12"]
    run = tmp_path / "run"
    done = processes.run("train", *commands.SMALL, *options, f"--model_dir={run}")
    last = done.err.splitlines()[-1]
    assert done.code == 1 and "Traceback" not in done.err
    assert last.startswith("error: ") and "do not decode, more than --max_bad_images=0.1" in last
    assert "3 images did not decode" in commands.train(run, *options, "--max_bad_images=.3").out
    names = (run / "bad_images.txt").read_text().splitlines()
    assert sorted(os.path.basename(name) for name in names) == ["bad2.jpg", "bad5.jpg", "bad7.jpg"]


@pytest.mark.slow
def test_shards_are_trained_on_and_an_empty_one_is_named(tmp_path):
    write_colours(str(tmp_path / "photos"), 8, suffixes=("png",))
    images = [path.read_bytes() for path in sorted((tmp_path / "photos").iterdir())]
    for shard in range(2):
        records = [example(image__encoded=image) for image in images[shard::2]]
        write_records(tmp_path / "shards" / f"train-{shard}", records)
    (tmp_path / "shards" / "train-9").write_bytes(b"")
    options = [*FOLDER, "--dataset=tfrecord", f"--data_dir={tmp_path / 'shards'}", "--steps=3"]
    options.append("--max_bad_images=.2")
    assert "step 3/3" in commands.train(tmp_path / "run", *options).out
    assert "train-9" in (tmp_path / "run" / "bad_images.txt").read_text()
    options += ["--mechanism=memory_bank", "--moco_k=8", f"--model_dir={tmp_path / 'bank'}"]
    done = processes.run("train", *commands.SMALL, *options, "--num_images=8")
    assert done.code == 1
    assert "images have no index, and no place in the bank; drop --num_images" in done.err
    assert "step 3/3" in commands.train(tmp_path / "bank", *options).out
