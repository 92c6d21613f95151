"""The trackers that --tracker offers, each through its own library.

What a tracker knows a run by is kept in the run's folder, so that a run that is resumed goes on there,
too.
"""

import contextlib
import io
import logging
import os
import secrets
import typing

from mocotf import extras
from mocotf.errors import UserError
from mocotf.json_files import read_json
from mocotf.json_files import update_json
from mocotf.training.flags_file import FLAGS_FILE
from mocotf.training.flags_file import read_flags
from mocotf.training.hparams import typed

FILE = "trackers.json"  # name of a tracker → what is kept for it
PROJECT = "mocotf"
SENDING = 25.0  # seconds that what is left may take at the end of a run


class WandB:
    """Weights & Biases; `WANDB_...` in the environment say where and how, as everywhere."""

    NAME = "wandb"
    INSTEAD = "try: wandb login, or WANDB_MODE=offline in the environment"

    def __init__(self):
        self._wandb = extras.require("wandb", "--tracker=wandb")

    def check(self):
        """Checks that whoever runs this is logged in, or asks for nothing to be sent."""
        sends = self._wandb.setup().settings.mode in ("online", "shared")
        if sends and not self._wandb.login(prompt=False):
            raise UserError(f"--tracker=wandb: not logged in; expected an account; {self.INSTEAD}")

    def open(self, run_dir):
        """Begins a run, or goes on with it; returns the last step that it has, and where to see it."""
        file = self._file = run_dir.file(FILE)
        kept = read_json(file).get(self.NAME) or {"id": secrets.token_hex(4), "step": -1}
        update_json(file, {self.NAME: kept})
        self._id = kept["id"]
        self._run = run = self._wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=name_of(run_dir),
            id=self._id,
            resume="allow",
            reinit="create_new",  # whoever calls us may have a run of his own
            dir=run_dir.path,
            config={name: typed(text) for name, text in settings_of(run_dir).items()},
            settings=self._wandb.Settings(
                silent=True,
                console="off",
                symlink=False,  # a run's folder has no links
                finish_timeout=SENDING,
                finish_timeout_raises=True,
                x_transaction_log_flush_interval=1,  # what a process that is killed may lose
            ),
        )
        if run.offline:
            fragments = os.path.join(run_dir.path, "wandb", "offline-run-*")
            return kept["step"], f"W&B, offline; to send it: wandb sync {fragments}"
        return run.starting_step - 1, run.url or "W&B, disabled"

    def log(self, points):
        """Tells `Point`s."""
        # First: who is killed in between leaves a gap offline, where a step twice could not be mended.
        update_json(self._file, {self.NAME: {"id": self._id, "step": points[-1].step}})
        for point in points:
            self._run.log(point.values, step=point.step, commit=True)

    def close(self, outcome, results):
        """Ends the run, which has "finished", "failed", or was "killed"."""
        self._run.summary.update(results)
        if outcome == "killed":
            self._run.mark_preempting()
        with contextlib.redirect_stderr(io.StringIO()):  # what it says, silent or not, it raises, too
            self._run.finish(exit_code=int(outcome != "finished"))


class MLflow:
    """MLflow; `MLFLOW_TRACKING_URI` and its like in the environment say where, as everywhere."""

    NAME = "mlflow"
    INSTEAD = "expected a store that answers; try another MLFLOW_TRACKING_URI in the environment"
    ENVIRONMENT: typing.ClassVar[dict[str, str]] = {  # where it says nothing else
        # MLflow's own are 7 and 120 s: a quarter of an hour until a server is said not to answer.
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    }

    def __init__(self):
        for name, value in self.ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        logging.getLogger("urllib3").setLevel(logging.ERROR)  # which tells of every retry
        self._mlflow = extras.require("mlflow", "--tracker=mlflow")

    def check(self):
        """Finds the experiment, or makes it."""
        self._client = self._mlflow.MlflowClient()
        self._experiment = os.environ.get("MLFLOW_EXPERIMENT_ID")
        if not self._experiment:
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
            found = self._client.get_experiment_by_name(name)
            self._experiment = found.experiment_id if found else self._client.create_experiment(name)

    def open(self, run_dir):
        """Begins a run, or goes on with it; returns the last step that it has, and where to see it."""
        client, file, step = self._client, run_dir.file(FILE), -1
        run = self._kept(read_json(file).get(self.NAME, {}).get("id"))
        if run:
            client.update_run(run.info.run_id, status="RUNNING")
            steps = [metric.step for metric in client.get_metric_history(run.info.run_id, "epoch")]
            step = max(steps, default=-1)
        else:
            context = extras.require("mlflow.tracking.context.registry", "--tracker=mlflow")
            tags = context.resolve_tags()  # user and program
            run = client.create_run(self._experiment, run_name=name_of(run_dir), tags=tags)
            update_json(file, {self.NAME: {"id": run.info.run_id}})
        self._id = run.info.run_id
        self._tell_settings(run.data.params, settings_of(run_dir))
        uri, place = self._mlflow.get_tracking_uri(), run.info.experiment_id
        if uri.startswith("http"):
            return step, f"{uri}/#/experiments/{place}/runs/{self._id}"
        return step, f"MLflow; to see it: mlflow ui --backend-store-uri={uri}"

    def log(self, points):
        """Tells `Point`s."""
        metric = self._mlflow.entities.Metric
        self._client.log_batch(
            self._id,
            metrics=[
                metric(tag, value, round(1000 * point.time), point.step)
                for point in points
                for tag, value in point.values.items()
            ],
        )

    def close(self, outcome, results):
        """Ends the run, which has "finished", "failed", or was "killed"."""
        tags = {name: str(one) for name, one in results.items() if not isinstance(one, dict | None)}
        if verdict := results.get("verdict"):
            tags["mlflow.note.content"] = verdict
        tag = self._mlflow.entities.RunTag
        self._client.log_batch(self._id, tags=[tag(*one) for one in tags.items()])
        self._client.set_terminated(self._id, outcome.upper())

    def _kept(self, run_id):
        """Returns the run of an id, None where the store has it not, or no more."""
        try:
            run = run_id and self._client.get_run(run_id)
        except self._mlflow.exceptions.MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None
        return run if run and run.info.lifecycle_stage == "active" else None

    def _tell_settings(self, known, texts):
        """Tells settings as parameters, which cannot change: what has changed since is a tag."""
        param, tag = self._mlflow.entities.Param, self._mlflow.entities.RunTag
        self._client.log_batch(
            self._id,
            params=[param(name, text) for name, text in texts.items() if name not in known],
            tags=[tag(name, text) for name, text in texts.items() if known.get(name, text) != text],
        )


def name_of(run_dir):
    """Returns the name of a run, that of its folder."""
    return os.path.basename(os.path.abspath(run_dir.path))


def settings_of(run_dir):
    """Returns name → text of a run's settings, and of where it is."""
    return read_flags(run_dir.file(FLAGS_FILE)) | {"model_dir": os.path.abspath(run_dir.path)}
