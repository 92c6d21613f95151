"""A small run, exported once, and images of many kinds with what Python computes of them."""

import io
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mocotf.data.pretraining import prepare
from mocotf.data.views.decode import decode
from mocotf.moco.saved_run import open_run
from mocotf.serving.export import export
from tests.data.support import photograph
from tests.saved_run import write_run


def write_measured_run(folder):
    write_run(folder, width="1.0")
    records = [{"step": step, "time": 0.0, "knn_top1": 10.0 * step} for step in (0, 1, 3)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


@pytest.fixture(scope="session")
def run_dir(once):
    """Returns the path of a run with checkpoints of steps 0 and 2, and kNN measured at step 1."""
    return str(once("measured-run", write_measured_run))


@pytest.fixture(scope="session")
def version(once, run_dir):
    """Returns the path of an exported version, 2, of the model small."""
    made = once("served", lambda folder: export(open_run(run_dir), str(folder / "small")))
    return str(made / "small" / "2")


@pytest.fixture(scope="session")
def images():
    """Returns encoded images of different sizes, formats and colours."""
    photo = Image.fromarray(photograph("coffee.png", 60, 90))
    veiled = photo.copy()
    veiled.putalpha(100)
    deep = Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257)
    pictures = [
        (photo, "JPEG"), (photo.resize((41, 16)), "PNG"), (photo.convert("L"), "JPEG"),
        (photo.convert("CMYK"), "JPEG"), (veiled, "PNG"), (deep, "PNG"), (photo.resize((7, 5)), "BMP"),
        (photo.resize((16, 16)), "GIF"), (photo.resize((20, 33)), "WEBP"),
    ]  # fmt: skip
    files = [io.BytesIO() for _ in pictures]
    for file, (picture, kind) in zip(files, pictures, strict=True):
        picture.save(file, kind)
    return [file.getvalue() for file in files]


@pytest.fixture(scope="session")
def expected(run_dir, images):
    """Returns embeddings `[n, D]` and features `[n, C]`, each image computed alone."""
    run = open_run(run_dir)
    encoder = run.encoder()
    views = [prepare(decode(tf.constant(image)), run.view)[None] for image in images]
    features = [encoder.backbone(view, training=False) for view in views]
    return {
        "embedding": np.concatenate([encoder(view, training=False) for view in views]),
        "features": np.concatenate(features),
    }
