"""What is in the folder of a finished run beside what training needs."""

import os
import shutil
import signal
import types

import numpy as np
import pytest

import mocotf
from mocotf import train
from mocotf.api import final_files
from mocotf.api.final_files import Patience
from mocotf.api.final_files import TooSlow
from mocotf.api.final_files import write_final_files
from mocotf.data.bad_images import BadImages
from mocotf.data.sources.folder import Folder
from mocotf.errors import Preempted
from mocotf.errors import UserError
from tests import commands
from tests import processes
from tests.saved_run import write_run
from tests.tiny import ARCH

FILES = "encoder.keras", "report.html"


@pytest.fixture
def run(tmp_path):
    """Returns the path of a run whose checkpoint is an hour old."""
    write_run(tmp_path / "my run", arch=ARCH)
    for path in (tmp_path / "my run").rglob("ckpt-*"):
        os.utime(path, (1.6e9, 1.6e9))
    return str(tmp_path / "my run")


@pytest.fixture
def made(monkeypatch):
    """Has the two files written as a mark only; returns the names of those written."""
    names = []

    def write(path, *_):
        names.append(os.path.basename(path))
        with open(path, "w") as file:
            file.write("made")

    monkeypatch.setattr(final_files.keras_file, "write", lambda saved, path: write(path))
    monkeypatch.setattr(final_files, "look_at", lambda *args, **limits: None)
    monkeypatch.setattr(final_files, "read_runs", lambda paths: [])
    monkeypatch.setattr(final_files, "write_runs", write)
    return names


def test_a_run_ends_with_an_encoder_and_a_page_and_says_so(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(final_files, "LIMIT", 1e6)  # however busy this machine is
    shutil.copytree(trained / "run", tmp_path / "run")
    run, source = str(tmp_path / "run"), Folder(str(trained / "pictures"))
    write_final_files(run, source, BadImages())
    told = capsys.readouterr().out
    assert all(f"{run}/{name}: " in told for name in FILES)
    next_commands = train.next_commands(run, None)
    assert f"The run is in {run}, with encoder.keras and report.html to open" in next_commands
    assert "mocotf.report" not in next_commands
    features = mocotf.load_encoder(f"{run}/encoder.keras")(np.zeros([1, 32, 32, 3]))["features"]
    expected = mocotf.load_encoder(run)(np.zeros([1, 32, 32, 3]))["features"]
    np.testing.assert_allclose(features, expected, rtol=1e-5)
    page = (tmp_path / "run" / "report.html").read_text()
    assert "24 images" in page and "t-SNE" in page and page.endswith("</html>\n")
    assert not [*(tmp_path / "run").glob("*partial*")]


def test_what_is_there_and_newer_than_the_checkpoint_is_not_made_again(run, made):
    write_final_files(run, None, None)
    assert made == [*FILES]
    write_final_files(run, None, None)
    assert made == [*FILES]
    os.utime(os.path.join(run, "encoder.keras"), (1.5e9, 1.5e9))
    write_final_files(run, None, None)
    assert made == [*FILES, "encoder.keras"]


@pytest.mark.parametrize(
    ("error", "told"),
    [(UserError("a: cannot be written: full"), "a: cannot be written: full"),
     (KeyError("odd"), "KeyError: 'odd'"), (MemoryError(), "MemoryError: MemoryError")],
)  # fmt: skip
def test_a_failure_is_one_warning_with_the_command_that_works(
    run, made, monkeypatch, caplog, error, told
):
    def fail(*_):
        raise error

    monkeypatch.setattr(final_files.keras_file, "write", fail)
    write_final_files(run, None, None)
    command = f"python -m mocotf.convert --to=keras '{run}' '{run}/encoder.keras'"
    warning = f"the run is finished, but has no encoder.keras: {told}; by hand: {command}"
    assert caplog.messages == [warning]
    assert made == ["report.html"]  # the other is made all the same


def test_a_page_that_would_take_too_long_is_not_made_and_the_command_is_printed(
    run, made, monkeypatch, capsys, caplog
):
    now = [0.0]
    monkeypatch.setattr(final_files, "time", types.SimpleNamespace(monotonic=lambda: now[0]))

    def look(saved, source, bad_images, most, *, bank, watch):
        assert most + bank <= 2000
        for done in range(64, most + bank, 64):
            now[0] += 10.0
            watch(done, most + bank)

    monkeypatch.setattr(final_files, "look_at", look)
    write_final_files(run, None, None)
    assert made == ["encoder.keras"] and not caplog.messages and now[0] <= 30
    command = f"python -m mocotf.report '{run}' --out='{run}/report.html'"
    assert f"report.html would take more than 30 s, by hand: {command}" in capsys.readouterr().out


def test_a_run_without_a_checkpoint_is_told_not_failed(run, caplog):
    shutil.rmtree(os.path.join(run, "checkpoints"))
    write_final_files(run, None, None)
    assert len(caplog.messages) == 2 and all("has no checkpoint yet" in m for m in caplog.messages)


@pytest.mark.parametrize(("pace", "seen"), [(0.9, 10), (1.2, 2), (100.0, 1)])
def test_patience_is_lost_as_soon_as_the_pace_tells(monkeypatch, pace, seen):
    now = [0.0]
    monkeypatch.setattr(final_files, "time", types.SimpleNamespace(monotonic=lambda: now[0]))
    patience, done = Patience(10.0), 0
    try:
        while done < 10:
            now[0] += pace
            done += 1
            patience.watch(done, 10)
    except TooSlow:
        assert pace > 1
    assert done == seen


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_asked_to_end_meanwhile_is_finished_all_the_same(run, made, monkeypatch, number):
    def stop(*args, **limits):
        raise KeyboardInterrupt(number)

    monkeypatch.setattr(final_files, "look_at", stop)
    with pytest.raises(
        Preempted, match=f"is finished; by hand: python -m mocotf.report '{run}'"
    ) as end:
        write_final_files(run, None, None)
    assert end.value.code == 128 + number and made == ["encoder.keras"]


SLOW = """
import sys, time
from mocotf.api import final_files
final_files.look_at = lambda *args, **limits: [print("looking", flush=True), time.sleep(300)]
import runpy
sys.argv[1:2] = []
runpy.run_module("mocotf.train", run_name="__main__", alter_sys=True)
"""


@pytest.fixture
def slow_program(tmp_path):
    (tmp_path / "slow.py").write_text(SLOW)
    return str(tmp_path / "slow.py")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_a_command_at_once_and_the_same_command_goes_on(slow_program, tmp_path, number):
    given = [*commands.SMALL, "--final_files", "--steps=2", f"--model_dir={tmp_path / 'run'}"]
    process = processes.start(slow_program, "train", *given)
    process.wait_until(lambda: "looking" in process.out)
    process.send_signal(number)
    done = process.wait(seconds=10)
    assert done.code == 128 + number and "is finished; by hand: " in done.out and done.err == ""
    assert commands.results(tmp_path / "run")["steps"] == 2
    assert {*FILES} & {*os.listdir(tmp_path / "run")} == {"encoder.keras"}
    assert "report.html" in processes.succeed("train", *given).out
    assert (tmp_path / "run" / "report.html").exists()


@pytest.mark.slow
def test_only_the_chief_makes_them_and_nobody_waits(slow_program, tmp_path):
    from tools.launch_local import free_addresses

    options = [*commands.SMALL, "--final_files", "--bn_splits=1", "--steps=2"]
    options += [f"--workers={','.join(free_addresses(2))}", "--worker_timeout=30"]
    options.append(f"--model_dir={tmp_path / 'run'}")
    chief, other = (
        processes.start(slow_program, "train", *options, f"--worker_index={i}") for i in range(2)
    )
    assert other.wait().code == 0 and "encoder.keras" not in other.out
    chief.wait_until(lambda: "looking" in chief.out)
    shutil.rmtree(tmp_path / "run" / "report.html", ignore_errors=True)
    chief.send_signal(signal.SIGINT)
    assert chief.wait(seconds=10).code == 130
