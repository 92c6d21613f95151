"""What a run's encoder makes of images: neighbours, and a map of them."""

import dataclasses
import glob
import logging
import os
import re

import numpy as np
import tensorflow as tf

from mocotf import extras
from mocotf.errors import UserError
from mocotf.evaluation.album import Album
from mocotf.evaluation.features import batches
from mocotf.evaluation.features import extract
from mocotf.evaluation.knn import search
from mocotf.evaluation.knn import unit_rows
from mocotf.evaluation.monitor import encoder_function
from mocotf.evaluation.monitor import network_of
from mocotf.evaluation.splits import KNNSplits
from mocotf.evaluation.unlabelled import NO_LABEL
from mocotf.evaluation.unlabelled import Unlabelled
from mocotf.files import printable
from mocotf.training.checkpoints import path_of
from mocotf.training.checkpoints import steps_in
from mocotf.training.pictures import FOLDER

BANK = 10_000  # images to compare with at most
BATCH = 64  # images encoded at a time: on a CPU as fast as more, and who watches sees soon how fast
MAPPED = 1_000  # points of the map, unless said otherwise
MOST_MAPPED = 5_000
PROJECTIONS = ("tsne", "pca")
TASKS = ("detect", "segment")  # what pictures of answers are called by
log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Look:
    """Some images under a run's encoder; `look` makes it.

    Attributes:
        steps: of the checkpoints that the images were seen under, rising; the last is the newest.
        features: of the queries at each step, `[steps, M, C]` float32, unit length.
        labels: of the queries, int `[M]`; `NO_LABEL` where the source has none.
        given: the labels that the vote of the run's k and T gives them at the last step, int `[M]`.
        album: the `Album` that has seen queries and bank, at the last step; it has kept all queries.
        names: what messages call the queries, `[M]` str.
        compared, of: with how many images of the bank, of how many there are.
    """

    steps: list[int]
    features: np.ndarray
    labels: np.ndarray
    given: np.ndarray
    album: Album
    names: list[str]
    compared: int
    of: int

    @property
    def labelled(self):
        """Whether the images have labels."""
        return self.labels.max() != NO_LABEL


def look(run, source, bad_images, most, *, bank, watch):
    """Returns the `Look` of a `SavedRun` at the labelled images of a source; at others without any.

    Args:
        run: a `SavedRun`.
        source: a `Source`.
        bad_images: a `BadImages`.
        most: queries at most.
        bank: images to compare with at most.
        watch: is told after each batch how many images of how many are encoded; what it raises ends
            this.

    Raises:
        UserError: the checkpoint cannot be read, or no image decodes.
    """
    if not all(source.evaluation_sizes):
        source = Unlabelled(source)
    encoders = _encoders(run)
    networks = [network_of(encoder, run.flags["knn_features"]) for encoder in encoders.values()]
    k, T = int(run.flags["knn_k"]), float(run.flags["knn_t"])
    splits = KNNSplits(source, run.view, bad_images, (bank, most), BATCH)
    album, total, done = splits.album(most), sum(splits.sizes), 0
    newest = encoder_function(encoders[run.step], run.flags["knn_features"])

    @tf.function(reduce_retracing=True, autograph=False)
    def encode(images):  # by all encoders at once: an image may be gone when it is read again
        features = (tf.cast(network(images, training=False), tf.float32) for network in networks)
        return tf.stack([tf.reshape(one, [tf.shape(one)[0], -1]) for one in features], axis=1)

    def count(labels):
        nonlocal done
        done += len(labels)
        watch(done, total)

    def see_queries(images, features, labels):
        album.see_queries(images, features.reshape(len(labels), len(encoders), -1)[:, -1], labels)
        count(labels)

    def see_bank(images, features, labels):
        album.see_bank(images, features, labels)
        count(labels)

    with bad_images.explained():
        queries, labels = extract(encode, splits.queries, see_queries)
        queries = queries.reshape(len(labels), len(encoders), -1)
        nearest = search(batches(newest, splits.bank, see_bank), queries[:, -1], k)
    bad = {*bad_images.names}
    names = [name for name in map(printable, splits.query_names()) if name not in bad]
    features = np.stack([unit_rows(queries[:, i]) for i in range(len(encoders))])
    given, of = nearest.winners(k, T), source.evaluation_sizes[0]
    return Look([*encoders], features, labels, given, album, names, nearest.size, of)


def _encoders(run):
    """Returns step → `Encoder` of those that a `SavedRun` has kept, rising; that it began with, too."""
    newest, folder = run.step, os.path.dirname(run.checkpoint)
    kept = {
        step: path_of(f, step) for f in (os.path.join(folder, "best"), folder) for step in steps_in(f)
    }
    found = {}
    if 0 not in kept and not run.flags.get("init_from"):
        found[0] = run.encoder(trained=False)
    for step in sorted(step for step in kept if step < newest):
        try:
            found[step] = dataclasses.replace(run, checkpoint=kept[step]).encoder()
        except UserError as error:  # a run that goes on deletes old ones
            log.warning("the map has no step %d: %s", step, error)
    found[newest] = run.encoder()
    return found


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


def project(steps, projection):
    """Returns points of several steps on a plane, within [0, 1]: a list of `[n, 2]`.

    Args:
        steps: `[steps, n, C]`, n four or more.
        projection: "pca", the plane of the largest spread; or "tsne" of all points, from their 50
            principal components, which keeps neighbours together and says nothing of longer distances;
            the same picture each time. A step before the last begins at the plane of the next, and lies
            as that does as far as it can: what moves has moved in the features.

    Raises:
        UserError: scikit-learn is not installed.
    """
    planes = []
    for points in steps[::-1]:
        plane = _project(points, projection, planes[-1] if planes else None)
        if planes:
            plane = _turned(plane, planes[-1])
        planes.append(plane)
    return [_in_unit_square(plane) for plane in planes[::-1]]


def _project(points, projection, like):
    names = "sklearn.decomposition", "sklearn.manifold", "threadpoolctl"  # slow to import
    required = (extras.require(name, "a map of the features") for name in names)
    decomposition, manifold, threadpoolctl = required
    width = min(2 if projection == "pca" else 50, *points.shape)
    plane = decomposition.PCA(width, random_state=0).fit_transform(points)
    if projection == "pca":
        return plane
    # The first 250 iterations are with early exaggeration. Of 5,000 pictures of CIFAR-10, 500 in all
    # keep as many neighbours as scikit-learn's 1,000; 300 from a plane that is there 9 in 10 of them.
    how = {"init": "pca", "max_iter": 500}
    if like is not None:
        how = {"init": like.astype(np.float32), "max_iter": 300, "early_exaggeration": 4.0}
    how["learning_rate"] = max(len(points) / 48, 50)  # "auto" of 12, the usual exaggeration
    perplexity = min(30, (len(points) - 1) / 3)
    # Its threads wait for each other spinning, in every iteration: where something else runs, two took
    # twelve times the processor time of one.
    with threadpoolctl.threadpool_limits(1):
        return manifold.TSNE(2, perplexity=perplexity, random_state=0, **how).fit_transform(plane)


def _turned(plane, like):
    """Returns a plane turned, or mirrored, to lie as another: orthogonal Procrustes."""
    u, _, v = np.linalg.svd((plane - plane.mean(0)).T @ (like - like.mean(0)))
    return (plane - plane.mean(0)) @ (u @ v)


def _in_unit_square(plane):
    low, high = plane.min(axis=0), plane.max(axis=0)
    span = max(*(high - low), 1e-12)
    return 0.5 + (plane - (low + high) / 2) / span
