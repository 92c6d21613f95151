"""What a run's encoder makes of images: neighbours, and a map of them."""

import dataclasses
import glob
import os
import re

import numpy as np

from mocotf import extras
from mocotf.evaluation.album import Album
from mocotf.evaluation.knn import unit_rows
from mocotf.evaluation.monitor import encoder_function
from mocotf.evaluation.splits import KNNSplits
from mocotf.evaluation.unlabelled import NO_LABEL
from mocotf.evaluation.unlabelled import Unlabelled
from mocotf.training.pictures import FOLDER

BANK = 10_000  # images to compare with at most
QUERIES = 1_000  # points of the map at most
PROJECTIONS = ("tsne", "pca")
TASKS = ("detect", "segment")  # what pictures of answers are called by


@dataclasses.dataclass(frozen=True)
class Look:
    """Some images under a run's encoder; `look` makes it.

    Attributes:
        features: of the queries, `[M, C]` float32, unit length.
        labels: of the queries, int `[M]`; `NO_LABEL` where the source has none.
        given: the labels that the vote of the run's k and T gives the queries, int `[M]`.
        album: the `Album` that has seen queries and bank.
        step: of the encoder.
    """

    features: np.ndarray
    labels: np.ndarray
    given: np.ndarray
    album: Album
    step: int

    @property
    def labelled(self):
        """Whether the images have labels."""
        return self.labels.max() != NO_LABEL


def look(run, source, bad_images):
    """Returns the `Look` of a `SavedRun` at the labelled images of a source; at others without any.

    Raises:
        UserError: the checkpoint cannot be read, or no image decodes.
    """
    if not all(source.evaluation_sizes):
        source = Unlabelled(source)
    encode = encoder_function(run.encoder(), run.flags["knn_features"])
    k, T = int(run.flags["knn_k"]), float(run.flags["knn_t"])
    splits = KNNSplits(source, run.view, bad_images, (BANK, QUERIES))
    album = splits.album()
    with bad_images.explained():
        nearest, queries, labels = splits.search(encode, k, album)
    return Look(unit_rows(queries), labels, nearest.winners(k, T), album, run.step)


def view_sheet(run):
    """Returns the JPEG of the view pairs that training began with, bytes; None where it kept none.

    Args:
        run: path of the run directory.
    """
    path = os.path.join(run, FOLDER, "views-0.jpg")
    if not os.path.exists(path):
        return None
    with open(path, "rb") as file:
        return file.read()


def answers(run):
    """Returns the JPEG of the last picture that a detector or segmenter has kept, bytes; None without.

    Args:
        run: path of the run directory.
    """
    paths = [
        p for task in TASKS for p in glob.glob(os.path.join(glob.escape(run), FOLDER, f"{task}-*"))
    ]
    if not paths:
        return None
    with open(max(paths, key=lambda path: int(re.findall(r"\d+", path)[-1])), "rb") as file:
        return file.read()


def projectors():
    """Returns scikit-learn's modules of PCA and t-SNE; slow to import: only who draws a map pays.

    Raises:
        UserError: it is not installed.
    """
    names = "sklearn.decomposition", "sklearn.manifold"
    return [extras.require(name, "a map of the features") for name in names]


def project(points, projection):
    """Returns points `[n, C]` on a plane, `[n, 2]`.

    Args:
        points: four or more.
        projection: "pca", the plane of the largest spread; or "tsne", which keeps neighbours together
            and says nothing of longer distances; the same picture each time.
    """
    decomposition, manifold = projectors()
    width = min(2 if projection == "pca" else 50, *points.shape)
    plane = decomposition.PCA(width, random_state=0).fit_transform(points)
    if projection == "tsne":
        perplexity = min(30, (len(points) - 1) / 3)
        tsne = manifold.TSNE(2, perplexity=perplexity, init="pca", random_state=0)
        plane = tsne.fit_transform(plane)
    return plane
