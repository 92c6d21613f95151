"""From a run to a version that TF Serving serves."""

import datetime
import importlib.metadata
import os
import subprocess

import mocotf
from mocotf import extras
from mocotf import terminal
from mocotf.data.views.formats import SERVED_PIXELS
from mocotf.evaluation.head import open_head
from mocotf.files import atomic_write
from mocotf.json_files import write_json
from mocotf.serving import saved_model
from mocotf.serving.requests import CLASSIFY
from mocotf.serving.requests import signatures_of
from mocotf.serving.versions import choose
from mocotf.serving.versions import new_version
from mocotf.training.metrics_file import read_metrics

PRECISIONS = ("float32", "mixed_bfloat16")
BATCH = 32  # images; more gain little on the hosts and accelerators that this was made for
BATCHING = f"""\
# Read by a server that has --enable_batching --enable_per_model_batching_parameters: requests that come
# within the timeout are computed together.
max_batch_size {{ value: {BATCH} }}
batch_timeout_micros {{ value: 2000 }}
max_enqueued_batches {{ value: 64 }}
num_batch_threads {{ value: 4 }}
"""
MODELS = """\
# For a server that has --model_config_file=/models/{name}/models.config, in a container that has the
# folder of this file as /models/{name}; elsewhere base_path is the absolute path of that folder.
# It is written once, and yours to change: for another version than the newest, a model_version_policy.
model_config_list {{
  config {{
    name: "{name}"
    base_path: "/models/{name}"
    model_platform: "tensorflow"
  }}
}}
"""


def export(run, export_dir, *, version=None, precision="float32", max_pixels=SERVED_PIXELS):
    """Writes a checkpoint's query encoder as a new version; checks it before it gets its name.

    Args:
        run: a `SavedRun`.
        export_dir: folder of the versions, EXPORT_DIR/INTEGER; the model is served by its name.
        version: number of the new one; None for the checkpoint's step.
        precision: of `PRECISIONS`.
        max_pixels: of an encoded image, see `DataSettings`; a larger one is no image to the server.

    Returns:
        The content of the version's metadata.json, a dictionary.

    Raises:
        UserError: the version exists, or cannot be written, or the checkpoint cannot be read.
    """
    extras.require("tensorflow_serving", "warm-up requests for TF Serving")
    from mocotf.serving import warmup  # imports what was looked for

    version = choose(export_dir, run.step, version)
    encoder = run.encoder(precision=precision)
    classifier = open_head(run) if run.base else None
    name = os.path.basename(os.path.abspath(export_dir))
    phase = terminal.phase("writing a version, and checking it")
    with phase, new_version(export_dir, version) as folder:
        saved_model.save(encoder, run.view, folder, classifier, run.upright, max_pixels)
        atomic_write(os.path.join(folder, "batching_params.pbtxt"), BATCHING)
        requests = warmup.write(folder, name, BATCH, run.view, max_pixels)
        found = warmup.check(folder, encoder, run.view, precision, run.upright, max_pixels)
        metadata = {"model": name, "version": version} | _origin(run)
        metadata |= {
            "precision": precision,
            "embedding_dim": encoder.head.output_shape[-1],
            "feature_dim": encoder.backbone.output_shape[-1],
            "image_size": run.view.size,
            "upright": run.upright,
            "max_pixels": max_pixels,
            **({"channels": run.view.channels} if run.view.channels else {}),
            "signatures": [*signatures_of(run.view.channels), *([CLASSIFY] if classifier else [])],
            **({"classes": list(classifier.names)} if classifier else {}),
            "warmup_requests": requests,
            "largest_difference": found,
        }
        write_json(os.path.join(folder, "metadata.json"), metadata)
        models = os.path.join(export_dir, "models.config")
        if not os.path.exists(models):
            atomic_write(models, MODELS.format(name=name))
    return metadata


def _origin(run):
    """Returns what a version was made of, and by which code."""
    measured = [
        record
        for record in read_metrics(os.path.join(run.path, "metrics.jsonl"))
        if "knn_top1" in record and record["step"] <= run.step
    ]
    newest = measured[-1] if measured else {}
    return {
        "step": run.step,
        "checkpoint": run.checkpoint,
        "knn_top1": newest.get("knn_top1"),
        "knn_step": newest.get("step"),
        "flags": run.flags,
        "git_revision": _git_revision(),
        "versions": {"mocotf": mocotf.__version__}
        | {package: importlib.metadata.version(package) for package in ("tensorflow", "keras")},
        "exported": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _git_revision():
    """Returns the commit of this code, with -dirty where it is changed; None where it is of none."""
    here = os.path.dirname(os.path.abspath(__file__))
    # A package that was installed may lie in a repository that knows nothing of it.
    known = ["ls-files", "--error-unmatch", os.path.abspath(__file__)]
    describe = ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        for arguments in (known, describe):
            told = subprocess.run(
                ["git", "-C", here, *arguments], check=True, capture_output=True, text=True
            )
    except (OSError, subprocess.CalledProcessError):
        return None
    return told.stdout.strip()
