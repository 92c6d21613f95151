"""--tracker with the libraries themselves, offline: `make trackers`."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

import mocotf
from mocotf.json_files import read_json
from tests import commands
from tests import processes
from tests import wandb_files
from tests import wandb_server

mlflow = pytest.importorskip("mlflow", reason="make trackers has an environment with it")
pytest.importorskip("wandb", reason="make trackers has an environment with it")
pytestmark = pytest.mark.slow

TIMED = {"speed/images_per_second", "speed/data_wait", "speed/goodput"}
KEY = "a" * 40
NOWHERE = "http://127.0.0.1:9"
FOREVER = ["--steps=1000000", "--checkpoint_every=2"]


class Kept:
    """A run in a folder, and what a tracker has of it.

    Args:
        tmp_path: the folder's.
    """

    def __init__(self, tmp_path):
        self.folder = tmp_path / "mine"

    def about(self):
        """Returns the name of the run, and name → value of its settings."""

    def points(self):
        """Returns step → tag → number; each step is there once."""

    def verdict(self):
        """Returns the verdict."""

    def ended(self, outcome):
        """Checks that the run is shown as "finished" or "killed"."""


class Offline(Kept):
    """W&B's, in files."""

    NAME = "wandb"

    def __init__(self, tmp_path):
        super().__init__(tmp_path)
        self.env = {"WANDB_MODE": "offline", "HOME": str(tmp_path)}

    def about(self):
        runs = [one.run for one in wandb_files.records(self.folder) if one.HasField("run")]
        assert len({run.run_id for run in runs}) == 1 and {run.project for run in runs} == {"mocotf"}
        return runs[-1].display_name, wandb_files.values(runs[-1].config.update)

    def points(self):
        return by_step(wandb_files.history(self.folder))

    def verdict(self):
        return wandb_files.summary(self.folder)["verdict"]

    def ended(self, outcome):
        records = [*wandb_files.records(self.folder)]
        codes = [one.exit.exit_code for one in records if one.HasField("exit")]
        asked = any(one.HasField("preempting") for one in records)
        assert (codes[-1], asked) == {"finished": (0, False), "killed": (1, True)}[outcome]


class Online(Kept):
    """W&B's, on a server."""

    NAME = "wandb"

    def __init__(self, tmp_path):
        super().__init__(tmp_path)
        self.server = wandb_server.Server().__enter__()
        self.env = {"WANDB_BASE_URL": self.server.url, "WANDB_API_KEY": KEY, "HOME": str(tmp_path)}

    @property
    def run(self):
        (run,) = self.server.runs.values()
        return run

    def about(self):
        config = json.loads(self.run["config"])
        return self.run["name"], {name: one["value"] for name, one in config.items()}

    def points(self):
        return by_step(map(json.loads, self.run["history"]))

    def verdict(self):
        return json.loads(self.run["summary"])["verdict"]

    def ended(self, outcome):
        assert self.run["exit"] == {"finished": 0, "killed": 1}[outcome]


def by_step(rows):
    """Returns step → tag → number of what W&B has of steps, whose own begins with _."""
    found = {}
    for row in rows:
        assert row["_step"] not in found
        found[row["_step"]] = {tag: x for tag, x in row.items() if not tag.startswith("_")}
    return found


class MLflow(Kept):
    NAME = "mlflow"

    def __init__(self, tmp_path):
        super().__init__(tmp_path)
        self.store = f"sqlite:///{tmp_path}/mlflow.db"
        self.env = {"MLFLOW_TRACKING_URI": self.store}
        self.client = mlflow.MlflowClient(self.store)

    def runs(self):
        return self.client.search_runs([self.client.get_experiment_by_name("mocotf").experiment_id])

    def run(self):
        (run,) = self.runs()
        return run

    def about(self):
        run = self.run()
        return run.info.run_name, run.data.params

    def points(self):
        run, found = self.run(), {}
        for tag in run.data.metrics:
            for one in self.client.get_metric_history(run.info.run_id, tag):
                assert tag not in found.setdefault(one.step, {})
                found[one.step][tag] = one.value
        return found

    def verdict(self):
        return self.run().data.tags["verdict"]

    def ended(self, outcome):
        assert self.run().info.status == outcome.upper()


@pytest.fixture(params=[Offline, Online, MLflow])
def kept(request, tmp_path):
    return request.param(tmp_path)


def start(kept, *options, **env):
    arguments = [*commands.SMALL, *options, f"--tracker={kept.NAME}", f"--model_dir={kept.folder}"]
    return processes.start("train", *arguments, env=kept.env | env)


def train(kept, *options):
    done = start(kept, *options).wait()
    assert done.code == 0, done
    assert done.err.splitlines() == [] and done.out.count("\ntracker: ") == 1, done
    return done


def assert_told(kept, but=frozenset()):
    """Checks that each record was told, once; but for those of some steps."""
    points = kept.points()
    records = {one["step"]: one for one in commands.metrics(kept.folder)}
    assert points.keys() == records.keys() - but
    for step, point in points.items():
        record = records[step]
        assert point["epoch"] == record["epoch"]
        for tag in {*point} - TIMED - {"epoch"}:
            name = tag.rpartition("/")[2]
            if tag.startswith("reference/"):
                name = {"loss": "chance"}.get(name, f"{name}_target")
            if name in record:
                assert point[tag] == pytest.approx(record[name]), tag
        assert step == 0 or {"pretext/loss", "reference/pretext/loss", "schedule/lr"} <= point.keys()


def test_a_tracker_has_the_settings_the_numbers_and_the_verdict(kept):
    train(kept, "--steps=3")
    name, settings = kept.about()
    assert (name, settings["model_dir"]) == ("mine", str(kept.folder))
    assert float(settings["moco_k"]) == 40 and settings["arch"] == "tests.tiny:backbone"
    assert_told(kept)
    assert kept.verdict() == commands.results(kept.folder)["verdict"]
    kept.ended("finished")


def test_a_run_that_goes_on_does_so_in_the_tracker_with_each_step_once(kept):
    train(kept, "--steps=4", "--checkpoint_every=2")
    commands.forget(kept.folder, 4)  # as if killed before it was saved, its records told
    train(kept, "--steps=4")
    assert_told(kept)
    train(kept, "--steps=4")  # complete, and once more
    assert_told(kept)
    train(kept, "--steps=6", "--resume_with_changes", "--keep_checkpoints=2")
    assert max(kept.points()) == 6
    assert_told(kept)
    kept.ended("finished")


def steps_told(process, count):
    process.wait_until(lambda: f"step {count}/" in process.out)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_asked_to_end_is_one_that_was_killed(kept, number):
    process = start(kept, *FOREVER)
    steps_told(process, 20)
    began = time.monotonic()
    os.killpg(process.pid, number)  # as a terminal does: to the library's processes, too
    done = process.wait()
    assert done.code == 128 + number and time.monotonic() - began < 20, done
    assert "the same command resumes" in done.out.splitlines()[-1]
    assert_told(kept)
    kept.ended("killed")


def test_a_run_that_is_killed_goes_on_in_the_tracker(kept):
    process = start(kept, *FOREVER)
    steps_told(process, 100)
    process.send_signal(signal.SIGKILL)
    process.wait()
    killed = time.time()
    last = commands.metrics(kept.folder)[-1]["step"]
    process = start(kept, *FOREVER)
    steps_told(process, last + 100)
    process.send_signal(signal.SIGTERM)
    assert process.wait().code == 143
    points, records = kept.points(), commands.metrics(kept.folder)
    assert max(points) == records[-1]["step"] > last
    # W&B writes what it was told once a second.
    missing = [one for one in records if one["step"] not in points]
    assert all(isinstance(kept, Offline) and killed - one["time"] < 5 for one in missing)
    assert_told(kept, but={one["step"] for one in missing})


@pytest.mark.parametrize(
    ("tracker", "env", "words"),
    [
        ("wandb", {}, "not logged in; expected an account; try: wandb login, or WANDB_MODE=offline"),
        ("wandb", {"WANDB_API_KEY": "short"}, "API key must have"),
        ("wandb", {"WANDB_API_KEY": KEY, "WANDB_BASE_URL": NOWHERE}, "Failed to authenticate"),
        ("mlflow", {"MLFLOW_TRACKING_URI": NOWHERE}, "Connection refused"),
        ("mlflow", {"MLFLOW_TRACKING_URI": "sqlite:////dev/null/mlflow.db"}, "File exists"),
    ],
)
def test_a_tracker_that_takes_nothing_is_one_line_before_anything_is_begun(
    tmp_path, tracker, env, words
):
    folder = tmp_path / "run"
    env = {"HOME": str(tmp_path), "WANDB_MODE": "online"} | env
    began = time.monotonic()
    arguments = [*commands.SMALL, "--steps=2", f"--tracker={tracker}", f"--model_dir={folder}"]
    done = processes.run("train", *arguments, env=env)
    assert done.code == 1 and time.monotonic() - began < 60, done
    (line,) = done.err.splitlines()
    assert line.startswith(f"error: --tracker={tracker}: ") and words in line
    assert not folder.exists()


def test_a_terminal_is_not_asked_for_a_key(tmp_path):
    script = (
        f"python -m mocotf.train {' '.join(commands.SMALL)} --tracker=wandb --model_dir={tmp_path}/run"
    )
    script = script.replace("python", sys.executable, 1)
    env = os.environ | {"HOME": str(tmp_path), "TERM": "xterm"}
    done = subprocess.run(
        ["script", "-qec", script, "/dev/null"], cwd=processes.ROOT, env=env, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1 and "not logged in" in done.stdout and "(1)" not in done.stdout


@pytest.fixture
def server(tmp_path):
    """Starts MLflow's server, on one port, as often as it is called; returns its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = []

    def begin():
        arguments = ["server", "--backend-store-uri", f"sqlite:///{tmp_path}/mlflow.db", "--port", port]
        arguments += ["--workers", 1, "--artifacts-destination", tmp_path / "artifacts"]
        process = processes.python("-m", "mlflow", *arguments, cwd=tmp_path)
        started.append(process)
        processes.wait_until(lambda: answers(port))
        return process

    begin.url = f"http://127.0.0.1:{port}"
    yield begin
    for process in started:
        process.kill()


def answers(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_a_server_that_dies_takes_no_run_with_it_and_is_told_later(tmp_path, server):
    kept = MLflow(tmp_path)
    kept.env = {"MLFLOW_TRACKING_URI": server.url}
    first = server()
    process = start(kept, "--steps=3000", "--log_every=10")
    steps_told(process, 50)
    first.kill()
    done = process.wait()
    assert done.code == 0
    assert time.time() - (kept.folder / "results.json").stat().st_mtime < 40
    gone, rest = done.err.splitlines()
    assert "WARNING: --tracker=mlflow: " in gone and gone.endswith("; the run goes on")
    assert "was not told all" in rest and "the same command once more tells the rest" in rest
    assert len(kept.points()) < len(commands.metrics(kept.folder)) == 301
    server()
    train(kept, "--steps=3000")
    assert_told(kept)
    kept.ended("finished")


def test_an_offline_run_that_was_resumed_is_sent_whole(tmp_path):
    kept, server = Offline(tmp_path), Online(tmp_path)
    train(kept, "--steps=4", "--checkpoint_every=2")
    commands.forget(kept.folder, 4)
    done = train(kept, "--steps=5", "--resume_with_changes")
    send = re.search("to send it: wandb (sync .*)", done.out)[1].split()
    fragments = sorted(map(str, kept.folder.glob("wandb/offline-run-*")))
    assert len(fragments) == 2 and send == ["sync", f"{kept.folder}/wandb/offline-run-*"]
    sent = processes.python("-m", "wandb", "sync", *fragments, env=server.env).wait()
    assert sent.code == 0, sent
    assert_told(server)
    assert server.verdict() == commands.results(kept.folder)["verdict"]


def test_a_wandb_server_that_dies_takes_no_run_with_it_and_is_told_later(tmp_path):
    kept = Online(tmp_path)
    process = start(kept, "--steps=1000", "--log_every=10")
    steps_told(process, 50)
    kept.server.__exit__()
    done = process.wait()
    assert done.code == 0
    assert time.time() - (kept.folder / "results.json").stat().st_mtime < 40
    (rest,) = done.err.splitlines()
    assert "was not told all" in rest and "the same command once more tells the rest" in rest
    with kept.server:
        train(kept, "--steps=1000")
        assert_told(kept)
        kept.ended("finished")


def test_a_library_that_dies_takes_no_run_with_it(tmp_path):
    kept = Offline(tmp_path)
    process = start(kept, "--steps=3000")
    steps_told(process, 50)
    children = ["ps", "-o", "pid=,comm=", "--ppid", str(process.pid)]
    listed = subprocess.check_output(children, text=True)
    (core,) = re.findall(r"^ *(\d+) wandb-core", listed, re.MULTILINE)
    os.kill(int(core), signal.SIGKILL)
    done = process.wait()
    assert done.code == 0 and (kept.folder / "results.json").exists()
    assert "WARNING: --tracker=wandb: " in done.err and "Traceback" not in done.err
    assert len(commands.metrics(kept.folder)) == 3001


def test_python_and_other_commands_have_trackers_too(tmp_path, monkeypatch):
    kept = MLflow(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", kept.store)
    train(kept, "--steps=2")
    run = mocotf.PretrainedRun(kept.folder)
    small = {"epochs": 1, "steps": 2, "batch_size": 16, "log_every": 1}
    run.linear(tmp_path / "linear", tracker="mlflow", **small)
    assert {one.info.run_name: one.info.status for one in kept.runs()} == {
        "mine": "FINISHED",
        "linear": "FINISHED",
    }
    assert read_json(tmp_path / "linear" / "trackers.json").keys() == {"mlflow"}
