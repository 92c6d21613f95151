"""What is measured of an encoder during pre-training."""

import abc
import logging

import numpy as np
import tensorflow as tf

from mocotf import terminal
from mocotf.data.supervised import check_classes
from mocotf.errors import UserError
from mocotf.evaluation.features import extract
from mocotf.evaluation.gallery import show
from mocotf.evaluation.retrieval import Retrieval
from mocotf.evaluation.splits import KNNSplits
from mocotf.evaluation.unlabelled import Unlabelled

log = logging.getLogger(__name__)


def make_monitor(settings, source, augmentation, bad_images):
    """Returns the `Monitor` that `MonitorSettings` ask for; None with --knn_every=0."""
    if not settings.knn_every:
        return None
    if all(source.evaluation_sizes):
        vote = {"k": settings.knn_k, "T": settings.knn_t}
        return KNNMonitor(source, augmentation, bad_images, most=settings.knn_bank, **vote)
    return RetrievalMonitor(Unlabelled(source), augmentation, bad_images)


class Monitor(abc.ABC):
    """Measures an encoder while it is trained; changes nothing that is trained.

    Args:
        source: of the images, which may have `class_names`.
        splits: `KNNSplits` of it.

    Attributes:
        ACCURACY: name in records of what is measured, in percent.
    """

    ACCURACY: str

    def __init__(self, source, splits):
        self._source = source
        self._splits = splits
        self._pictures = None  # that a measurement encodes, where it is known
        self.album = splits.album  # makes an `Album`, to watch one measurement

    def _phase(self, what):
        return terminal.phase(f"measuring {what}", self._pictures)

    @abc.abstractmethod
    def scores(self, encode, album=None):
        """Returns how well each query is answered, in [0, 1], `[M]`; `[0]` where none makes sense.

        Args:
            encode: images `[n, S, S, 3]` → features `[n, …]`.
            album: an `Album` that watches.
        """

    def record(self, encode, run_dir, step):
        """Keeps the gallery of an encoder at a step; returns what a record says of it: its ACCURACY,
        and the standard error of that in points, as ACCURACY_error."""
        album = self.album()
        with self._phase("the encoder"):
            scores = self.scores(encode, album)
        show(run_dir, step, album, self._source.class_names)
        return _summary(self.ACCURACY, scores)

    def record_baselines(self, encode, run_dir):
        """Returns what `record` says before the first step; the same of raw pixels, brought to at most
        32 × 32 by averaging, as ACCURACY_pixels; and how many `queries` there are."""
        with self._phase("raw pixels"):
            pixels = self.scores(_small)
        found = self.record(encode, run_dir, 0) | _summary(f"{self.ACCURACY}_pixels", pixels)
        return found | {"queries": len(pixels)}


def _summary(name, scores):
    """Returns the mean of scores `[n]` in percent, and its standard error; nothing of no scores.

    For the error a success and a failure are added, as by Agresti and Caffo (2000): else 0 and 100 %
    would be certain.
    """
    if not len(scores):
        return {}
    n, added = len(scores), np.append(scores, [0, 1])
    error = added.std() / np.sqrt(n + 2) * (n + 2) / n
    return {name: 100 * float(np.mean(scores)), f"{name}_error": round(100 * float(error), 3)}


class KNNMonitor(Monitor):
    """Measures kNN top-1 on a labelled source.

    Args:
        source: a `Source` with labels.
        augmentation: gives size, mean and std of the evaluation view.
        bad_images: a `BadImages`.
        k, T: see `Nearest.winners`.
        most: images of the bank, and of the queries, that are used, evenly picked: to encode all of
            ImageNet takes as long as an epoch's forward passes.
        batch_size: images encoded at a time.
    """

    ACCURACY = "knn_top1"

    def __init__(self, source, augmentation, bad_images, *, k, T, most, batch_size=256):
        super().__init__(source, KNNSplits(source, augmentation, bad_images, (most, most), batch_size))
        self._pictures = sum(self._splits.sizes)
        self._vote = {"k": k, "T": T}
        self._told = False

    def scores(self, encode, album=None):
        nearest, _, labels = self._splits.search(encode, self._vote["k"], album)
        self._check(nearest.classes, labels)
        return nearest.winners(**self._vote) == labels

    def _check(self, bank, queries):
        """Warns of classes that the bank has not, once: it is no reason to end a run."""
        try:
            check_classes(bank, queries, self._source)
        except UserError as error:
            if not self._told:
                log.warning("kNN counts as wrong what it cannot know: %s", error)
            self._told = True


class RetrievalMonitor(Monitor):
    """Measures whether pictures are told apart by augmented copies of them; see `Retrieval`.

    Args:
        source: an `Unlabelled`.
        augmentation: that of the run.
        bad_images: a `BadImages`.
    """

    ACCURACY = "retrieval_auc"

    def __init__(self, source, augmentation, bad_images):
        super().__init__(source, KNNSplits(source, augmentation, bad_images))
        self._retrieval = Retrieval(source, augmentation, bad_images)

    def record_baselines(self, encode, run_dir):
        print(
            "no labels, or no split to ask about: retrieval is measured instead of kNN: how many other "
            "pictures an augmented copy ranks below its own",
            flush=True,
        )
        return super().record_baselines(encode, run_dir)

    def scores(self, encode, album=None):
        if album:
            extract(encode, self._splits.queries, album.see_queries)
        return self._retrieval.scores(encode, album and album.see_bank)


def encoder_function(encoder, features):
    """Returns the compiled inference function of an `Encoder`.

    Args:
        features: "pooled" for the backbone's features, "embedding" for the head's unit-length output.
    """
    network = network_of(encoder, features)

    @tf.function(reduce_retracing=True, autograph=False)
    def encode(images):
        return network(images, training=False)

    return encode


def network_of(encoder, features):
    """Returns the part of an `Encoder` that makes the features; arguments as of `encoder_function`."""
    return encoder.backbone if features == "pooled" else encoder


def _small(images):
    return tf.image.resize(images, (32, 32), method="area") if images.shape[1] > 32 else images
