"""Settings: single values, and the flags, help and arguments that are made of them."""

import dataclasses
import re

import numpy as np
import pytest
from absl import flags

from mocotf.api.recipe_files import lines_of
from mocotf.cli import arguments
from mocotf.cli import settings_flags
from mocotf.errors import UserError
from mocotf.optim.settings import OptimisationSettings
from mocotf.settings import Settings
from mocotf.settings import Switch
from mocotf.settings import setting
from mocotf.settings import settings_of
from mocotf.training.run_dir import RunDir
from mocotf.training.settings import DeviceSettings
from tests import processes
from tests.commands import set_flags

settings_flags.define(OptimisationSettings)


@dataclasses.dataclass(frozen=True)
class Example(Settings):
    """A setting of each kind."""

    GROUP = "Example"

    rate: float = setting(0.5, "A rate.", low=0, high=1)
    count: int | None = setting(None, "A count.", low=1)
    mean: tuple[float, ...] = setting((1.0, 2.5), "A mean.", count=2)
    names: tuple[str, ...] = setting((), "Names.")
    compiled: Switch = setting("auto", "A switch.")
    plain: bool = setting(False, "A switch of two.")
    kind: str = setting("a", "A kind.", choices=("a", "b"), formerly={"true": "b"})
    sides: tuple[int, ...] = setting((8,), "Sides.", low=1, least=1)


VALUES = [
    ("rate", "1e-1", 0.1, "0.1"),
    ("count", "3", 3, "3"),
    ("mean", "120, 1e-3", (120.0, 0.001), "120,0.001"),
    ("names", "a,b", ("a", "b"), "a,b"),
    ("compiled", "AUTO", "auto", "auto"),
    ("compiled", "False", False, "false"),
    ("plain", "true", True, "true"),
    ("kind", "b", "b", "b"),
]


@pytest.mark.parametrize(("name", "text", "value", "saved"), VALUES)
def test_a_text_and_its_value_stand_for_each_other(name, text, value, saved):
    one = settings_of(Example)[name]
    assert one.parse(text) == value and one.text(value) == saved and one.parse(saved) == value
    assert getattr(Example(**{name: value}), name) == value


MISTAKES = [
    ("rate", "2.0", 2.0, "a finite number from 0 to 1"),
    ("rate", "nan", float("nan"), "a finite number from 0 to 1"),
    ("count", "0", 0, "a whole number from 1"),
    ("count", "1.5", 1.5, "a whole number from 1"),
    ("mean", "1.0", (1.0,), "2 numbers separated by commas"),
    ("compiled", "maybe", "maybe", "auto, true or false"),
    ("plain", "auto", "auto", "true or false"),
    ("kind", "c", "c", "one of a, b"),
    ("sides", "", (), "some numbers separated by commas from 1"),
]


@pytest.mark.parametrize(("name", "text", "value", "expected"), MISTAKES)
def test_a_value_out_of_bounds_is_told_with_what_is_expected(name, text, value, expected):
    with pytest.raises(ValueError, match=f"^expected {re.escape(expected)}$"):
        settings_of(Example)[name].parse(text)
    with pytest.raises(UserError, match=re.escape(f"--{name}={text}: expected {expected}")):
        Example(**{name: value})


def test_python_may_give_numbers_of_numpy_and_one_number_for_a_list():
    example = Example(count=np.int64(3), rate=np.float32(0.5), mean=[np.int32(1), 2])
    assert (example.count, example.rate, example.mean) == (3, 0.5, (1.0, 2.0))
    assert {type(example.count), type(example.rate), *map(type, example.mean)} == {int, float}
    assert OptimisationSettings(schedule=60).schedule == (60.0,)


def test_what_an_earlier_release_saved_is_read_as_it_was_meant():
    kind = settings_of(Example)["kind"]
    assert [kind.saved(text) for text in ("true", "a", None)] == ["b", "a", "a"]
    assert settings_of(Example)["count"].saved() is None


@pytest.mark.parametrize(
    "arguments",
    [["--lr=2", "--flagfile={}"], ["--flagfile={}", "--lr=2"], ["--flagfile", "{}", "--lr=2"]],
)
def test_what_is_typed_beats_a_flag_file_wherever_it_stands(tmp_path, arguments):
    inner = tmp_path / "inner.cfg"
    inner.write_bytes(b"--epochs=5\r\n--batch_size=8\r\n")
    outer = tmp_path / "outer.cfg"  # as Windows' editor saves it
    outer.write_bytes(f"\ufeff# comment\r\n--lr=1\r\n--flagfile={inner}\r\n--batch_size=9\r\n".encode())
    set_flags(*(argument.format(outer) for argument in arguments))
    assert (flags.FLAGS.lr, flags.FLAGS.epochs, flags.FLAGS.batch_size) == (2.0, 5, 9)


def test_a_tilde_is_the_home_of_the_user(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "/home/me")
    (tmp_path / "a.cfg").write_text("--data_dir=~/photos\n")
    typed = ["train", f"--flagfile={tmp_path}/a.cfg", "--model_dir=~/runs", "--nocos", "~", "a~"]
    assert arguments.expand(typed) == [
        *(
            "train",
            "--data_dir=/home/me/photos",
            "--model_dir=/home/me/runs",
            "--nocos",
            "/home/me",
            "a~",
        )
    ]
    monkeypatch.setenv("HOME", str(tmp_path))
    assert RunDir("~/run", ()).path == str(tmp_path / "run") and (tmp_path / "run").is_dir()


def test_a_flag_file_that_names_itself_is_read_once(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.cfg").write_text("--lr=1\n--flagfile=~/a.cfg\n")
    assert [line for line, _ in lines_of("~/a.cfg")].count("--lr=1") == 1


@pytest.mark.parametrize("typed", [["--flagfile="], ["--flagfile"]])
def test_a_flag_file_without_a_name_is_told(typed):
    with pytest.raises(flags.Error, match="--flagfile=: names no file"):
        arguments.expand(["train", *typed])


def test_flags_that_contradict_each_other_are_told_with_where_they_came_from(tmp_path):
    (tmp_path / "mine.cfg").write_text("# comment\n--cos\n")
    done = processes.run("train", f"--flagfile={tmp_path}/mine.cfg", "--schedule=9", "--model_dir=x")
    assert done.code == 1
    assert f"contradict each other: give one of them (--cos: {tmp_path}/mine.cfg, line 2" in done.err
    assert "--schedule: typed)" in done.err and len(done.err.splitlines()) == 1


@pytest.mark.parametrize("arguments", [["--flagfile={}/flags.cfg"], ["--model_dir={}"]])
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--momentun=1", "line 2"),
        ("lr=1", "line 2: 'lr=1': expected --NAME=VALUE"),
        ("--lr=-1", "--lr=-1: expected a finite number from 0"),
    ],
)
def test_a_damaged_line_of_flags_is_told_by_its_number(tmp_path, line, message, arguments):
    (tmp_path / "flags.cfg").write_text(f"--cos\n{line}\n")
    done = processes.run("train", *(argument.format(tmp_path) for argument in arguments))
    assert done.code == 2 and message in done.err and len(done.err.splitlines()) == 1
    assert f"{tmp_path}/flags.cfg, line 2" in done.err


def test_a_flag_file_that_is_not_there_is_told():
    done = processes.run("train", "--flagfile=nowhere.cfg")
    assert done.code == 2
    assert "nowhere.cfg: No such file or directory; expected a file of flags; " in done.err


def test_help_is_short_and_in_groups_and_whole_if_asked_for():
    short, full = (processes.run("train", argument).out for argument in ("--help", "--helpfull"))
    groups = re.findall(r"^[A-Z]\w+$", short, re.MULTILINE)
    assert groups[:4] == ["Recipe", "Data", "Views", "Method"]
    assert groups[-4:] == ["Optimisation", "Run", "Measurements", "Devices"]
    assert "Also save when this many minutes" in " ".join(short.split())
    assert "theta_k <- m theta_k + (1 - m) theta_q" in " ".join(full.split())
    assert "Expected: a finite number from 0" in " ".join(full.split()) and len(short) < 0.8 * len(full)


def test_settings_that_contradict_each_other_are_refused_from_python_too():
    with pytest.raises(UserError, match="--cos and --schedule contradict each other"):
        OptimisationSettings(cos=True, schedule=(9,)).check()
    with pytest.raises(UserError, match="--strategy=one_device contradict each other"):
        DeviceSettings(num_logical_devices=2, strategy="one_device").check()
