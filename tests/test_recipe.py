"""`--recipe`: settings that are chosen once, before a run begins, and files of settings by name."""

import re
import shutil

import numpy as np
import pytest
import tensorflow as tf
from absl import flags

from mocotf import train
from mocotf.api.recipe import choose
from mocotf.api.recipe import is_auto
from mocotf.cli import settings_flags
from mocotf.cli import train_flags
from mocotf.data.sources.open import open_source
from mocotf.errors import UserError
from mocotf.pretraining import recipe
from mocotf.pretraining import rules
from mocotf.pretraining import speed
from mocotf.training.flags_file import read_flags
from tests import commands
from tests import processes
from tests.commands import set_flags
from tests.tiny import ARCH
from tests.trained import OPTIONS
from tests.trained import write_pictures

GIVEN = [
    "--dataset=folder",
    f"--arch={ARCH}",
    "--width=0.125",
    "--moco_dim=16",
    "--strategy=one_device",
    "--nofinal_files",
]


def train_here(folder, *arguments):
    """Runs the command in this process; returns what it trained."""
    set_flags(*arguments, f"--model_dir={folder}")
    train.main()
    return commands.variables(folder)


def test_settings_are_chosen_once_and_kept_as_plain_values(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(rules, "MOST_EPOCHS", 1)
    monkeypatch.setattr(speed, "SECONDS", 0.1)
    given = [*GIVEN, f"--data_dir={trained / 'pictures'}", "--lr=0.01"]
    run = tmp_path / "run"
    train_here(run, *given, "--minutes=30")
    told = capsys.readouterr().out
    assert "--recipe=auto chose for 72 pictures of 3 classes, about 20 pixels" in told
    saved = read_flags(run / "flags.cfg")
    for name, value in re.findall(r"^  --(\w+)=(\S+)  ", told, re.MULTILINE):
        assert saved[name] == value
    assert saved["lr"] == "0.01" and saved["epochs"] == "1" and "--lr=" not in told
    assert not {"recipe", "minutes"} & saved.keys()

    done = processes.succeed("train", *given, "--minutes=30", f"--model_dir={run}")
    assert "--recipe=auto" not in done.out and "resuming" in done.out
    other = [*given, "--minutes=9", f"--model_dir={run}"]
    processes.refuse("train", other, "was begun with --minutes=30; drop --minutes to resume it")


@pytest.mark.slow
def test_to_try_steps_leaves_no_trace(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(rules, "MOST_EPOCHS", 1)
    monkeypatch.setattr(speed, "SECONDS", 0.1)
    run = tmp_path / "run"
    tried = train_here(run, *GIVEN, f"--data_dir={trained / 'pictures'}", "--lr=0.01", "--minutes=30")
    straight = train_here(tmp_path / "straight", f"--flagfile={run / 'flags.cfg'}")
    commands.assert_same(straight, tried)


def test_pictures_may_move_but_not_change(trained, tmp_path, capsys):
    shutil.copytree(trained / "run", tmp_path / "run")
    shutil.copytree(trained / "pictures", tmp_path / "moved")
    known, moved = commands.variables(trained / "run"), f"--data_dir={tmp_path / 'moved'}"
    found = train_here(tmp_path / "run", *OPTIONS, moved)
    assert all(np.array_equal(found[name], known[name]) for name in known)
    assert (
        f"{tmp_path}/moved: 72 images (100 % PNG, 20×20), 3 classes, 24 held out\n"
        in capsys.readouterr().out
    )
    write_pictures(tmp_path / "others")
    (tmp_path / "others/train/red/0.png").write_bytes(b"shorter")
    others = [*OPTIONS, f"--data_dir={tmp_path / 'others'}"]
    with pytest.raises(UserError, match="that it was begun with .names and sizes of images=.* there"):
        train_here(tmp_path / "run", *others)
    found = train_here(tmp_path / "run", *others, "--accept_changed_data", "--verify_data=content")
    assert all(np.array_equal(found[name], known[name]) for name in known)  # it was at its end
    assert "accept_changed_data" not in read_flags(tmp_path / "run" / "flags.cfg")
    (tmp_path / "others/val/red/0.png").write_bytes(b"shorter")
    with pytest.raises(UserError, match="begun with .1 of 96 files changed: val/red/0.png."):
        train_here(tmp_path / "run", *others, "--verify_data=content")


def test_who_gives_a_file_of_flags_has_nothing_chosen():
    for arguments, auto in (
        (["--dataset=folder"], True),
        (["--dataset=hf"], True),
        (["--dataset=folder", "--recipe=none"], False),
        (["--dataset=folder", "--recipe=v2"], False),
        (["--dataset=folder", "--flagfile=flags/v2.cfg"], False),
        (["--dataset=folder", "--flagfile=flags/v2.cfg", "--recipe=auto"], True),
        (["--recipe=auto"], True),
        ([], False),
    ):
        set_flags("--data_dir=photos", *arguments)
        assert is_auto(settings_flags.asked()) == auto, arguments


def test_a_recipe_is_a_file_of_flags_by_its_name(tmp_path):
    set_flags("--recipe=v2", "--lr=0.5")
    by_name = train_flags.read()
    set_flags("--flagfile=flags/v2.cfg", "--lr=0.5")
    assert by_name == train_flags.read()
    (tmp_path / "mine.cfg").write_text("--recipe=v2\n--lr=0.5\n")
    set_flags(f"--recipe={tmp_path / 'mine.cfg'}")
    assert by_name == train_flags.read()
    with pytest.raises(
        flags.Error, match="--recipe=v3: expected auto, none, a file, or one of cifar10,"
    ):
        set_flags("--recipe=v3")


def test_time_is_given_to_what_is_chosen_only():
    set_flags("--minutes=3")
    with pytest.raises(UserError, match="--minutes=3 does nothing without --recipe=auto"):
        is_auto(settings_flags.asked())
    set_flags("--dataset=folder", "--channels=4")
    with pytest.raises(UserError, match="--channels=4: the rules .* are for RGB; try --recipe=v2"):
        is_auto(settings_flags.asked())


def test_a_batch_is_as_large_as_there_is_memory_for(trained, tmp_path, monkeypatch):
    tried = []

    def try_steps(settings, *_):
        tried.append(settings.training.optimisation.batch_size)
        if tried[-1] > 4:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM")
        return speed.Pace(1.0, 0.1, 1.0)

    monkeypatch.setattr(recipe, "try_steps", try_steps)
    set_flags(*GIVEN, f"--data_dir={trained / 'pictures'}", f"--model_dir={tmp_path}")
    source, strategy = open_source(train_flags.read().data), tf.distribute.OneDeviceStrategy("")
    settings, chosen = choose(settings_flags.asked(), source, strategy, 0, 1)
    assert tried == [8, 4] and settings.training.optimisation.batch_size == 4
    assert chosen.choices["batch_size"].reason == "what there is memory for"
    assert chosen.values["lr"] == pytest.approx(0.06 * 4 / 64, abs=1e-4)
    set_flags(*GIVEN, f"--data_dir={trained / 'pictures'}", "--batch_size=16", "--model_dir=nowhere")
    with pytest.raises(UserError, match="--batch_size=16: does not fit .*; try --batch_size=8"):
        choose(settings_flags.asked(), source, strategy, 0, 1)


def test_what_does_not_go_together_is_refused_before_any_training(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(recipe, "try_steps", lambda *_: speed.Pace(60.0, 0.1, 1.0))  # seconds
    where = f"--data_dir={trained / 'pictures'}", f"--model_dir={tmp_path / 'new'}"
    for argument, message in (
        ("--moco_k=4", "--moco_k=4: smaller than the 8 keys"),
        ("--batch_size=500", "has only 72 images"),
        (
            "--minutes=0.9",
            "0.9: are over before the first step; expected more; try --minutes=",
        ),
    ):
        set_flags(*GIVEN, *where, argument)
        with pytest.raises(UserError, match=message):
            train.main()
    assert not (tmp_path / "new").exists()
