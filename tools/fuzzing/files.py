"""What runs, indexes and conversions keep in files: made here, damaged, and read by their readers."""

import contextlib
import json
import logging
import os
import shutil

import keras
import numpy as np

from mocotf.data.bad_images import BadImages
from mocotf.evaluation.evaluation_json import add_to_evaluation
from mocotf.image_search.index import Index
from mocotf.image_search.index import read_index
from mocotf.image_search.index import write_index
from mocotf.image_search.partial_index import PartialIndex
from mocotf.interop import keras_file
from mocotf.interop import torch
from mocotf.json_files import read_json
from mocotf.json_files import write_json
from mocotf.moco.saved_run import open_run
from mocotf.optim.schedules import Milestones
from mocotf.pretraining.settings import Pretraining
from mocotf.reporting.runs import read_runs
from mocotf.serving import saved_model
from mocotf.training.checkpoints import Checkpoints
from mocotf.training.metrics_file import read_metrics
from mocotf.training.run_dir import RunDir
from mocotf.training.weights import load_encoder
from tools.fuzzing.worker import Different

RUN = {
    "backbone": "tools.fuzzing.files:backbone", "mlp": True, "moco_dim": 16, "moco_k": 16,
    "image_size": 32, "batch_size": 8, "steps": 2, "seed": 0, "dataset": "patches",
    "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3),
}  # fmt: skip
FACTS = {"replicas": 1, "images": 6400}
ABOUT = {
    "encoder": "run",
    "weights": "ab",
    "output": "features",
    "batch_size": 2,
    "data_dir": "d",
    "bad_images": [],
}
IMAGES = [f"folder/{number}.jpg" for number in range(40)]
VECTORS = np.random.default_rng(0).normal(size=(40, 16)).astype(np.float32)
CHECKPOINT = ("checkpoints/ckpt-2.index", "checkpoints/ckpt-2.data-00000-of-00001")
OF_RUN = ("flags.cfg", "facts.json", "evaluation.json", "results.json", "metrics.jsonl", "recipe.json",
          "bad_images.txt", *CHECKPOINT)  # fmt: skip
HINT, LINES = "run/bad_images.txt", "run/metrics.jsonl"
UNFINISHED = tuple(f"unfinished/{name}" for name in ("progress.json", "names", "vectors"))
OTHERS = ("vectors.npz", "vectors.parquet", "encoder.keras", "moco.pth.tar")
NAMES = (*(f"run/{name}" for name in OF_RUN), *UNFINISHED, *OTHERS)  # those of optional packages, too


def backbone():
    """Returns the smallest backbone that looks at all pixels."""
    images = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(8, 3, 2, padding="same", activation="relu")(images)
    return keras.Model(images, keras.layers.GlobalAveragePooling2D()(x))


def settings():
    return Pretraining.of(RUN, RUN.keys())


def model_of(one):
    keras.utils.set_random_seed(0)
    return one.config.build_model(Milestones(0.1, []))


def make(folder):
    """Writes a run, an index and one in the making, files of other frameworks, and a served model."""
    one, run = settings(), os.path.join(folder, "run")
    run_dir = RunDir(run, one.saved, FACTS)
    model = model_of(one)
    checkpoints = Checkpoints(run_dir.file("checkpoints"), model)
    checkpoints.save()
    for variable in model.query_encoder.variables:
        variable.assign(variable + 0.01)
    model.optimizer.iterations.assign(2)
    checkpoints.save()
    checkpoints.wait()
    trained = ({"step": step, "loss": 3.0 - step / 8, "lr": 0.1} for step in (1, 2))
    run_dir.forget_after(2, {"step": 0, "knn_top1": 20.5}, *trained)
    write_json(run_dir.file("results.json"), {"knn_top1": 71.25, "loss": 2.75})
    write_json(run_dir.file("recipe.json"), {"minutes": 5.0})
    BadImages(run_dir.file("bad_images.txt")).report(np.array([name.encode() for name in IMAGES[:3]]))
    saved = open_run(run)
    add_to_evaluation(saved, {"knn_top1": 73.5, "linear_top1": 81.25})
    write_index(os.path.join(folder, "vectors.npz"), Index(IMAGES, VECTORS, ABOUT))
    unfinished = PartialIndex(os.path.join(folder, "unfinished"), ABOUT, VECTORS.shape[1])
    unfinished.add(IMAGES, VECTORS, 41)
    unfinished.commit()
    keras_file.write(saved, os.path.join(folder, "encoder.keras"))
    served = os.path.join(folder, "served")
    os.makedirs(served)
    saved_model.save(saved.encoder(), saved.view, served, upright=True)
    with contextlib.suppress(ImportError):
        import pyarrow  # noqa: F401

        write_index(os.path.join(folder, "vectors.parquet"), Index(IMAGES, VECTORS, ABOUT))
    with contextlib.suppress(ImportError):
        import torch as pytorch

        weights = {
            "module.encoder_q.conv1.weight": pytorch.from_numpy(VECTORS.reshape(-1, 4, 4, 4)[:8])
        }
        content = {"epoch": 3, "arch": "resnet18", "state_dict": weights}
        torch.write_file(content, os.path.join(folder, "moco.pth.tar"))


class Readers:
    """Has each file read by who reads it, name → function (folder) → what it held.

    Built once: to build a model takes longer than to read it.
    """

    def __init__(self, made):
        self._settings = settings()
        model = model_of(self._settings)
        self._model, self._encoder = model, open_run(os.path.join(made, "run")).encoder()
        of_run = dict.fromkeys(("evaluation.json", "results.json", "metrics.jsonl"), self._report)
        of_run |= {"flags.cfg": self._flags, "facts.json": self._facts}
        of_run |= {"recipe.json": lambda folder: read_json(f"{folder}/run/recipe.json")}
        of_run |= {"bad_images.txt": lambda folder: BadImages(f"{folder}/run/bad_images.txt").names}
        of_run |= dict.fromkeys(CHECKPOINT, self._checkpoint)
        files = {
            "vectors.npz": lambda folder: vars(read_index(f"{folder}/vectors.npz")),
            "vectors.parquet": lambda folder: vars(read_index(f"{folder}/vectors.parquet")),
            "encoder.keras": lambda folder: weights(keras_file.read(f"{folder}/encoder.keras")),
            "moco.pth.tar": lambda folder: torch.read_file(f"{folder}/moco.pth.tar"),
        }
        self.all = {f"run/{name}": read for name, read in of_run.items()} | files
        self.all |= dict.fromkeys(UNFINISHED, self._unfinished)

    def _flags(self, folder):
        return open_run(f"{folder}/run").flags

    def _facts(self, folder):
        RunDir(f"{folder}/run", self._settings.saved, FACTS)
        return read_json(f"{folder}/run/facts.json")

    def _report(self, folder):
        (run,) = read_runs([f"{folder}/run"])
        return run.numbers, read_metrics(f"{folder}/run/metrics.jsonl")

    def _checkpoint(self, folder):
        """Returns what a resumed run goes on from, and what others read."""
        checkpoints = Checkpoints(f"{folder}/run/checkpoints", self._model)
        step = checkpoints.restore()
        state = {name: variable.numpy() for name, variable in checkpoints.named.items()}
        load_encoder(self._encoder, f"{folder}/run/checkpoints/ckpt-{step}")
        return step, state, weights(self._encoder)

    def _unfinished(self, folder):
        """Returns what was kept; nothing where all is to be embedded anew."""
        partial = PartialIndex(f"{folder}/unfinished", ABOUT, VECTORS.shape[1])
        kept = (partial.seen, *partial.result())
        kept = kept[0], kept[1], np.array(kept[2])
        partial.remove()
        return kept if kept[0] else None


def is_shorter(found, expected):
    """Returns whether of the records that `_report` returns the last are gone, and no others."""
    found, expected = json.loads(found)[1], json.loads(expected)[1]
    return found == expected[: len(found)]


def weights(model):
    return {variable.path: variable.numpy() for variable in model.variables}


def plain(value):
    """Returns a text that stands for what was read."""
    return json.dumps(
        value, default=lambda x: [str(x.dtype), list(x.shape), x.tobytes().hex()], sort_keys=True
    )


class File:
    """The target of one file of `Readers.all`: it is read as it was written, or somebody says a word.

    Two may be read otherwise, and "forgotten" is the outcome: bad_images.txt is a hint, whose images
    are met again; and a metrics.jsonl that has lost its last lines looks like that of a shorter run.

    Args:
        step: of a `Meter`.
        made: folder that `make` has filled.
        folder: an own one.
        name, read: of the file.
    """

    def __init__(self, step, made, folder, name, read):
        self._step, self._made, self._name, self._read = step, made, name, read
        self._folder = os.path.join(folder, "state")
        self._expected = None

    def __call__(self, content):
        if self._expected is None:
            self._expected = plain(self._of(None))
        with heard() as said:
            found = plain(self._of(content))
        if found == self._expected:
            return "same"
        if said:
            return "told"
        if self._name == HINT or (self._name == LINES and is_shorter(found, self._expected)):
            return "forgotten"
        raise Different(f"{self._name}: read without a word, and not as it was written")

    def _of(self, content):
        """Returns what is read where a file has another content, None for its own."""
        top = self._name.partition("/")[0]
        shutil.rmtree(self._folder, ignore_errors=True)
        os.makedirs(self._folder)
        path = os.path.join(self._made, top)
        copy = shutil.copytree if os.path.isdir(path) else shutil.copy
        copy(path, os.path.join(self._folder, top))
        if content is not None:
            with open(os.path.join(self._folder, self._name), "wb") as file:
                file.write(content)
        with self._step(f"reading {self._name}"):
            return self._read(self._folder)


@contextlib.contextmanager
def heard():
    """Gives the list of warnings and errors that are logged within it."""
    said, log = [], logging.getLogger("mocotf")
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())
    log.addHandler(handler)
    try:
        yield said
    finally:
        log.removeHandler(handler)
