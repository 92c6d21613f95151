"""Pre-training from Python: one call, and the run that it returns."""

import inspect
import os
import signal
from collections.abc import Mapping
from collections.abc import Sequence

import keras
import numpy as np

from mocotf.api import supervised
from mocotf.api.asked import asked_for
from mocotf.api.asked import declared_by
from mocotf.api.knn import SETTINGS as KNN
from mocotf.api.knn import knn
from mocotf.api.pretrain import SETTINGS
from mocotf.api.pretrain import pretrain as pretrain_as_asked
from mocotf.api.recipe_files import read_recipe
from mocotf.api.report import write_page
from mocotf.data.settings import DataSettings
from mocotf.errors import Preempted
from mocotf.errors import UserError
from mocotf.evaluation.verdict import judge
from mocotf.files import PathLike
from mocotf.files import path_of
from mocotf.image_search.embedding import embed_folder
from mocotf.interactive import shown
from mocotf.interop.keras_file import from_run
from mocotf.moco.saved_run import READING
from mocotf.moco.saved_run import open_run
from mocotf.serving.export import export
from mocotf.training import goodput
from mocotf.training.flags_file import FLAGS_FILE
from mocotf.training.flags_file import is_run
from mocotf.training.flags_file import read_flags
from mocotf.training.metrics_file import read_metrics
from mocotf.training.termination import leaving_the_process

INTERRUPTED = 128 + signal.SIGINT


class PretrainedRun:
    """A run of pre-training: what was recorded of it, and what can be done with its encoder.

    Args:
        path: run directory of `mocotf.pretrain` or `python -m mocotf.train`.

    Raises:
        UserError: there is no run.

    Examples:
        >>> run = mocotf.PretrainedRun("runs/mine")
        >>> run.metrics[-1]["step"]
        12
        >>> names, vectors = run.embed("my_photos")
    """

    def __init__(self, path: PathLike) -> None:
        self.path = path_of(path)
        self._flags = saved_flags(self.path)
        if self._flags is None:
            raise UserError(f"{path}: no {FLAGS_FILE}; expected the run directory of a run")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path}: {self.verdict or 'no verdict yet'}>"

    @property
    def metrics(self) -> list[dict]:
        """The records of metrics.jsonl, by step: name → number; accuracies in percent, `time` in
        seconds since 1970, the others as docs/guides/tensorboard.md has them.

        Raises:
            UserError: the file is damaged.
        """
        return read_metrics(os.path.join(self.path, "metrics.jsonl"))

    @property
    def verdict(self) -> str | None:
        """Whether anything was learned, a sentence or two; None where nothing was measured yet."""
        verdict = judge(self.path, self.metrics, self._flags)
        return verdict and verdict.text

    @shown()
    def encoder(self) -> keras.Model:
        """Returns the encoder of the newest checkpoint.

        Returns:
            A `keras.Model` from images `[n, S, S, 3]` in 0…255 to float32 `features` `[n, C]` and
            `embedding` `[n, dim]`, see `mocotf.load_encoder`.

        Raises:
            UserError: there is no checkpoint yet, or it cannot be read.
        """
        return from_run(open_run(self.path))

    @shown()
    def knn(self, **settings: object) -> dict:
        """Measures the encoder by weighted k-nearest-neighbour classification.

        Args:
            settings: of `python -m mocotf.knn`, by their names, as k=(20, 200).

        Returns:
            What `--json` prints: name → value, with `knn_top1` in percent, of the first k and t.

        Raises:
            UserError: a setting is unknown or cannot be, the images have no labels, or there is no
                checkpoint yet.
        """
        _refuse(settings, model_dir="this run")
        return knn(asked_for(KNN, {"model_dir": self.path} | settings))

    @shown()
    def linear(self, model_dir: PathLike | None = None, **settings: object) -> dict:
        """Trains a linear classifier on the frozen encoder, or with cache_features=True solves for one.

        Args:
            model_dir: run directory of the classifier; None: evaluation/linear in this run's.
            settings: of `python -m mocotf.linear`, by their names, as epochs=20.

        Returns:
            What `--json` prints: name → value, with `linear_top1` or `linear_cached_top1` in percent.

        Raises:
            UserError: a setting is unknown or cannot be, the images have no labels, or there is no
                checkpoint yet.
        """
        asked = self._asked(
            "linear", model_dir, settings, supervised.LINEAR, supervised.LINEAR_DEFAULTS
        )
        return supervised.linear(asked)

    @shown()
    def finetune(self, model_dir: PathLike | None = None, **settings: object) -> dict:
        """Fine-tunes the whole encoder with a classifier on top.

        Args:
            model_dir: run directory of what is fine-tuned; None: evaluation/finetune in this run's.
            settings: of `python -m mocotf.finetune`, by their names, as label_fraction=0.1.

        Returns:
            What `--json` prints: name → value, with `finetune_top1` in percent.

        Raises:
            UserError: a setting is unknown or cannot be, the images have no labels, or there is no
                checkpoint yet.
        """
        protocol = supervised.FINETUNE, supervised.FINETUNE_DEFAULTS
        return supervised.finetune(self._asked("finetune", model_dir, settings, *protocol))

    @shown()
    def embed(self, folder: PathLike, output: str = "features") -> tuple[list[str], np.ndarray]:
        """Returns the vectors of all images under a folder, see `mocotf.embed_folder`.

        Args:
            folder: searched recursively for image files.
            output: "features", or "embedding", whose vectors have unit length.

        Returns:
            (names, vectors): paths below the folder, a list of str, and float32 `[N, D]`.

        Raises:
            UserError: there is no folder, no image in it that decodes, or no checkpoint yet.
        """
        saved = open_run(self.path)
        how = {name: getattr(saved, name) for name in READING} | {"channels": saved.view.channels}
        return embed_folder(from_run(saved), folder, output, **how)

    @shown()
    def report(self, out: PathLike = "report.html") -> str:
        """Writes a page of the run: results, curves, views, neighbours, a map; returns its path.

        Args:
            out: HTML file to write; one that is there is replaced.

        Raises:
            UserError: the run has no metrics yet, or the file cannot be written.
        """
        return write_page(asked_for((DataSettings,), {}), [self.path], path_of(out))["out"]

    @shown()
    def export(self, folder: PathLike) -> str:
        """Writes the encoder for TF Serving, a version below `folder`; returns the version's path.

        Args:
            folder: of the model's versions, whose name it has; the new one has that of the step.

        Raises:
            UserError: the version exists, or cannot be written, or there is no checkpoint yet, or the
                extra `serving` is not installed.
        """
        folder = path_of(folder)
        return os.path.join(folder, str(export(open_run(self.path), folder)["version"]))

    def _asked(self, name, model_dir, settings, classes, defaults):
        goodput.begin()
        path = path_of(model_dir or os.path.join(self.path, "evaluation", name))
        _refuse(settings, pretrained="this run")
        keywords = {"pretrained": self.path, "model_dir": path} | settings
        return asked_for(classes, keywords, saved=saved_flags(path), defaults=defaults)


@shown()
def pretrain(
    data: PathLike | Sequence[PathLike] | None = None,
    out: PathLike = "runs/mine",
    *,
    recipe: str | None = None,
    **settings: object,
) -> PretrainedRun:
    """Pre-trains an encoder on unlabelled pictures; the same call again resumes a run that was stopped.

    What `python -m mocotf.train --data_dir=DATA --model_dir=OUT` does, with its output. An interrupt
    (Ctrl-C, a notebook's stop button) saves the run, and returns it.

    Args:
        data: folder of images, archive, address or a list of such; with `dataset` another place of
            them. None: photographs that scikit-image ships, or what `dataset` names.
        out: run directory, made where there is none.
        recipe: "auto": settings that fit the pictures, the device and `minutes`; "none"; or the name of
            a recipe, as "v2". None: auto for a folder.
        settings: all others of `python -m mocotf.train`, by their names, as epochs=100.

    Returns:
        The run.

    Raises:
        UserError: a setting is unknown or cannot be, `out` holds another run, or this one cannot go on.

    Examples:
        >>> small = {"arch": "resnet10", "width": 0.125, "image_size": 32, "batch_size": 24}
        >>> run = mocotf.pretrain("my_photos", "runs/new", recipe="none", moco_k=96, steps=2, **small)
        >>> run.encoder().output["features"].shape
        (None, 64)
    """
    goodput.begin()
    path = path_of(out)
    _refuse(settings, model_dir="out", data_dir="data")
    keywords = {"model_dir": path} | settings
    if data is not None:
        places = data if isinstance(data, list | tuple) else [data]
        keywords = {"dataset": "folder", "data_dir": ",".join(map(path_of, places))} | keywords
    file = None
    if recipe is not None:
        keywords["recipe"] = recipe
        file = read_recipe(recipe)
    asked = asked_for(SETTINGS, keywords, recipe=file, saved=saved_flags(path))
    policy = keras.config.dtype_policy()
    try:
        with leaving_the_process():
            pretrain_as_asked(asked)
    except Preempted as stop:
        print(stop)
        if stop.code != INTERRUPTED:
            raise SystemExit(stop.code) from stop
    finally:
        keras.config.set_dtype_policy(policy)
    return PretrainedRun(path)


def _refuse(settings: Mapping[str, object], **instead: str) -> None:
    """Refuses settings that a call has by another name."""
    for name in instead.keys() & settings.keys():
        raise UserError(f"{name}: is no setting of this call; it is {instead[name]}")


def saved_flags(path: str) -> Mapping[str, str] | None:
    """Returns name → text of the settings of a run; None where there is none."""
    return read_flags(os.path.join(path, FLAGS_FILE)) if is_run(path) else None


def _signature() -> inspect.Signature:
    """Returns the signature of `pretrain` with every setting in it."""
    own = inspect.signature(pretrain)
    named = [p for p in own.parameters.values() if p.kind is not p.VAR_KEYWORD]
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=one.default)
        for name, one in declared_by(SETTINGS).items()
        if name not in (*own.parameters, "data_dir", "model_dir")
    ]
    return own.replace(parameters=[*named, *more])


pretrain.__signature__ = _signature()  # type: ignore[attr-defined]  # of inspect's
