"""A tracker is told every record once, whatever becomes of its service, and holds up nothing."""

import json
import logging
import re
import sys
import threading
import time

import pytest

from mocotf import extras
from mocotf.errors import Preempted
from mocotf.errors import UserError
from mocotf.training import tracker
from mocotf.training.run_dir import RunDir
from mocotf.training.tracker import Tracker
from mocotf.training.tracker import connect
from tests.processes import wait_until
from tests.training.test_metrics_log import METRICS
from tests.training.test_metrics_log import Records
from tests.training.test_metrics_log import record


class LineByLine:
    """A service that is a file: a line of JSON for each record, and one for the end.

    Args:
        path: of the file.
        gone: how many times in a row it does not answer.
    """

    NAME, INSTEAD = "lines", "try another"

    def __init__(self, path, gone=0):
        self.path, self.gone = path, gone
        self.held_up = threading.Event()
        self.held_up.set()

    def open(self, run_dir):
        lines = self.lines() if self.path.exists() else []
        return max((line["step"] for line in lines if "step" in line), default=-1), str(self.path)

    def log(self, points):
        self.held_up.wait()
        if self.gone:
            self.gone -= 1
            try:
                raise ConnectionRefusedError(111, "Connection refused")
            except OSError as error:
                raise RuntimeError("cannot be asked, for whatever reason") from error
        self._write(*({"step": point.step, "time": point.time} | point.values for point in points))

    def close(self, outcome, results):
        self._write({"outcome": outcome} | results)

    def lines(self):
        return [json.loads(line) for line in self.path.read_text().splitlines()]

    def _write(self, *values):
        with open(self.path, "a") as file:
            file.writelines(json.dumps(value) + "\n" for value in values)


@pytest.fixture
def run_dir(tmp_path):
    return RunDir(str(tmp_path / "run"), ())


@pytest.fixture
def service(tmp_path):
    return LineByLine(tmp_path / "lines")


def write(run_dir, service, *steps):
    """Has a start of a run write records."""
    with Tracker(service) as told:
        told.open(run_dir)
        records = Records(run_dir, METRICS, tracker=told)
        for step in steps:
            records.write(record(step))
        records.close()
        told.summarise({"verdict": "learned"})


def test_a_tracker_is_told_what_tensorboard_shows_and_how_the_run_ended(run_dir, service):
    write(run_dir, service, 1, 2)
    *told, end = service.lines()
    kept = run_dir.metrics()
    for line, one in zip(told, kept, strict=True):
        names = {
            "step": "step", "time": "time", "epoch": "epoch", "pretext/loss": "loss",
            "pretext/acc1": "acc1", "schedule/lr": "lr", "reference/pretext/loss": "chance",
        }  # fmt: skip
        assert line == {tag: one[name] for tag, name in names.items()}
    assert end == {"outcome": "finished", "verdict": "learned"}


def test_a_resumed_run_is_told_of_each_step_once_also_what_the_tracker_was_not_told(run_dir, service):
    write(run_dir, LineByLine(service.path.with_name("another")), 1)
    write(run_dir, service, 2, 3)
    assert [line["step"] for line in service.lines()[:-1]] == [1, 2, 3]
    run_dir.forget_after(2)  # the newest checkpoint was of step 2
    write(run_dir, service, 3, 4)
    assert [line["step"] for line in service.lines() if "step" in line] == [1, 2, 3, 4]


def test_a_service_that_is_gone_for_a_while_is_told_all_with_one_warning(run_dir, service, caplog):
    service.gone = 3
    with Tracker(service) as told:
        told.open(run_dir)
        for step in range(20):
            told.log(step, 0.5, {"loss": step})
            wait_until(lambda step=step: service.gone < 3 - step or step > 2)
    assert [line.get("step") for line in service.lines()] == [*range(20), None]
    (said,) = caplog.messages
    gone = "--tracker=lines: Connection refused (cannot be asked, for whatever reason…)"
    assert said == f"{gone}; the run goes on"


def test_a_service_that_is_gone_at_the_end_is_told_the_rest_by_the_next_start(run_dir, service, caplog):
    service.gone = 99
    write(run_dir, service, 1, 2)
    assert not service.path.exists() and "was not told all (Connection refused" in caplog.messages[-1]
    service.gone = 0
    write(run_dir, service, 3)
    assert [line.get("step") for line in service.lines()] == [1, 2, 3, None]


@pytest.mark.parametrize(
    ("error", "outcome"), [(Preempted("asked", 143), "killed"), (UserError("x"), "failed")]
)
def test_a_run_that_does_not_reach_its_end_is_told_so(run_dir, service, error, outcome):
    with pytest.raises(type(error)), Tracker(service) as told:
        told.open(run_dir)
        told.log(1, 0.5, {"loss": 1.0})
        raise error
    assert service.lines() == [{"step": 1, "time": 0.5, "loss": 1.0}, {"outcome": outcome}]


def test_a_service_that_hangs_holds_up_neither_a_step_nor_the_end(
    run_dir, service, monkeypatch, caplog
):
    monkeypatch.setitem(tracker.ENDING, "finished", 0.1)
    service.held_up.clear()
    began = time.monotonic()
    write(run_dir, service, *range(50))
    assert time.monotonic() - began < 10
    assert len(run_dir.metrics()) == 50 and not service.path.exists()
    (said,) = caplog.records
    assert said.levelno == logging.WARNING and "the same command once more tells the rest" in said.msg
    service.held_up.set()


def test_a_run_that_never_begins_is_not_told(service):
    with pytest.raises(UserError), Tracker(service):
        raise UserError("refused")
    assert not service.path.exists()


def test_a_service_that_does_not_open_is_one_line(run_dir, service, monkeypatch):
    with pytest.raises(UserError, match=r"^--tracker=lines: invalid literal .*; try another$"):
        monkeypatch.setattr(service, "open", lambda _: int("no such thing"))
        Tracker(service).open(run_dir)
    monkeypatch.setattr(tracker, "OPENING", 0.1)
    monkeypatch.setattr(service, "open", lambda _: threading.Event().wait(5))
    with pytest.raises(UserError, match=r"^--tracker=lines: no answer for .* s; try another$"):
        Tracker(service).open(run_dir)


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_library_is_imported_only_where_it_is_asked_for(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    connect("none")
    with pytest.raises(UserError) as error:
        connect(name)
    line = rf"--tracker={name}: {name} is not installed; try: {re.escape(extras.command(name))}"
    assert re.fullmatch(line, str(error.value))
