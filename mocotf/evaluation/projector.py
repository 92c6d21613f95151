"""Features as TensorBoard's embedding projector reads them."""

import io

import numpy as np
from google.protobuf import text_format
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

from mocotf.evaluation.knn import unit_rows
from mocotf.files import atomic_write
from mocotf.files import make_folder
from mocotf.tables import cell
from mocotf.training.pictures import encode

CONFIG = "projector_config.pbtxt"  # by this name, in the directory of a run, TensorBoard finds it
FOLDER = "projector"


def write_projector(run_dir, album, class_names=()):
    """Writes the queries of an `Album` for the projector, in place of those of an earlier step.

    In the run directory are then projector_config.pbtxt and, in projector/, features.tsv (a row each
    image, of unit length as kNN compares them), metadata.tsv (its class, where there are labels) and
    sprites.jpg (its picture, row by row in a square).

    Args:
        run_dir: a `RunDir`.
        album: an `Album`.
        class_names: of each label; else classes are called by their number.
    """
    pictures, features, labels = album.queries
    make_folder(run_dir.file(FOLDER))
    config = ProjectorConfig()
    embedding = config.embeddings.add(
        tensor_name="features", tensor_shape=features.shape, tensor_path=f"{FOLDER}/features.tsv"
    )
    embedding.sprite.image_path = f"{FOLDER}/sprites.jpg"
    embedding.sprite.single_image_dim.extend(pictures.shape[2:0:-1])  # width, height
    if labels.min() >= 0:
        embedding.metadata_path = f"{FOLDER}/metadata.tsv"
        names = [class_names[label] if class_names else str(label) for label in labels]
        lines = "".join(cell(" ".join(name.split())) + "\n" for name in names)
        atomic_write(run_dir.file(embedding.metadata_path), lines)
    atomic_write(run_dir.file(embedding.sprite.image_path), encode(sprites(pictures)))
    atomic_write(run_dir.file(embedding.tensor_path), _rows(features))
    atomic_write(run_dir.file(CONFIG), text_format.MessageToString(config))


def sprites(pictures):
    """Returns pictures `[n, h, w, 3]` as one, row by row in a square of as few as will do."""
    n, h, w, _ = pictures.shape
    side = int(np.ceil(np.sqrt(n)))
    sheet = np.zeros((side * side, h, w, 3), np.uint8)
    sheet[:n] = pictures
    return sheet.reshape(side, side, h, w, 3).transpose(0, 2, 1, 3, 4).reshape(side * h, side * w, 3)


def _rows(features):
    text = io.BytesIO()
    np.savetxt(text, unit_rows(features), fmt="%.4g", delimiter="\t")
    return text.getvalue()
