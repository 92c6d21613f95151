r"""Exports a run's encoder for TF Serving, as a SavedModel.

    python -m mocotf.export --model_dir=runs/v2 --export_dir=serving/moco

writes serving/moco/STEP, a version that a server on serving/moco picks up, once its warm-up requests
give what the encoder gives in Python. Existing versions are not changed. docs/guides/serving.md shows
how to serve it, query it, and train on it.
"""

from mocotf.cli import command  # first: it keeps TensorFlow's start-up notices off the terminal

# isort: split
import os

from absl import flags

from mocotf.data.views.formats import SERVED_PIXELS
from mocotf.moco.saved_run import open_run
from mocotf.serving.export import PRECISIONS
from mocotf.serving.export import export

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "model_dir",
    None,
    "Run whose newest checkpoint is exported, or a checkpoint in one: RUN/checkpoints/best/ckpt-STEP.",
)
flags.DEFINE_string(
    "export_dir",
    None,
    "Folder of the model's versions, created if necessary; its name is the model's.",
)
flags.DEFINE_integer(
    "version", None, "Number of the new version. Default: the checkpoint's step.", lower_bound=0
)
flags.DEFINE_enum(
    "precision",
    "float32",
    PRECISIONS,
    "Of the exported encoder, whatever the run's was; mixed_bfloat16: weights and outputs are float32, "
    "what is between is bfloat16.",
)
flags.DEFINE_integer(
    "max_pixels",
    SERVED_PIXELS,
    "Pixels that an image in a request may have; one with more is not valid.",
    lower_bound=1,
)


def main():
    run = open_run(FLAGS.model_dir)
    asked = {name: FLAGS[name].value for name in ("version", "precision", "max_pixels")}
    found = export(run, FLAGS.export_dir, **asked)
    folder = os.path.join(FLAGS.export_dir, str(found["version"]))
    show(folder, run.config.encoder.name, found)
    command.print_json({"path": folder} | found)


def show(folder, backbone, found):
    """Prints what was exported, and how to serve it."""
    model, knn = found["model"], found["knn_top1"]
    print(f"{found['checkpoint']} -> {folder}")
    line = "  {backbone}, {precision}: embedding {embedding_dim}, features {feature_dim}"
    print(line.format(backbone=backbone, **found))
    if knn is not None:
        print(f"  kNN top-1 {knn:.1f} %, at step {found['knn_step']}")
    difference = max(found["largest_difference"].values())
    print(f"  {found['warmup_requests']} requests answered as in Python, to {difference:.0e}")
    mount = f"{os.path.abspath(FLAGS.export_dir)}:/models/{model}"
    print(f"Serve it:\n  docker run -p 8501:8501 -v {mount} -e MODEL_NAME={model} tensorflow/serving")


if __name__ == "__main__":
    for name, example in (("model_dir", "runs/mine"), ("export_dir", "serving/mine")):
        flags.register_validator(name, bool, f"expected a folder, such as --{name}={example}")
    command.run(main)
