"""kNN accuracy during pre-training."""

import logging

import tensorflow as tf

from mocotf.data.supervised import check_classes
from mocotf.errors import UserError
from mocotf.evaluation.gallery import show
from mocotf.evaluation.splits import KNNSplits
from mocotf.evaluation.unlabelled import NO_LABEL
from mocotf.evaluation.unlabelled import Unlabelled

log = logging.getLogger(__name__)


def make_monitor(settings, source, augmentation, bad_images):
    """Returns the `KNNMonitor` that `MonitorSettings` ask for; None with --knn_every=0."""
    if not settings.knn_every:
        return None
    if not all(source.evaluation_sizes):
        log.warning("no kNN: %s has no labels, or no split to ask about", source.name)
        source = Unlabelled(source)
    vote = {"k": settings.knn_k, "T": settings.knn_t}
    return KNNMonitor(source, augmentation, bad_images, most=settings.knn_bank, **vote)


class KNNMonitor:
    """Measures the kNN top-1 of an encoder on a labelled source; changes nothing that is trained.

    Args:
        source: a `Source` with labels, or an `Unlabelled`: then there is no accuracy, but an album.
        augmentation: gives size, mean and std of the evaluation view.
        bad_images: a `BadImages`.
        k, T: see `Nearest.winners`.
        most: images of the bank, and of the queries, that are used, evenly picked: to encode all of
            ImageNet takes as long as an epoch's forward passes.
        batch_size: images encoded at a time.
    """

    def __init__(self, source, augmentation, bad_images, *, k, T, most, batch_size=256):
        self._splits = KNNSplits(source, augmentation, bad_images, (most, most), batch_size)
        self._vote = {"k": k, "T": T}
        self._source = source
        self._told = False
        self.album = self._splits.album  # makes an `Album`, to watch one measurement

    def measure(self, encode, album=None):
        """Returns the top-1 in percent of features `encode(images)`, None where images have no labels.

        Args:
            encode: images `[n, S, S, 3]` → features `[n, …]`.
            album: an `Album` that watches.
        """
        nearest, _, labels = self._splits.search(encode, self._vote["k"], album)
        if labels.max() == NO_LABEL:
            return None
        self._check(nearest.classes, labels)
        return nearest.top1(labels, **self._vote)

    def record(self, encode, run_dir, step):
        """Keeps the gallery of an encoder at a step; returns what a record says of it: `knn_top1`, or
        nothing where images have no labels."""
        album = self.album()
        top1 = self.measure(encode, album)
        show(run_dir, step, album, self._source.class_names)
        return {} if top1 is None else {"knn_top1": top1}

    def record_baselines(self, encode, run_dir):
        """Returns what `record` says before the first step, and `knn_top1_pixels`, of raw pixels."""
        found = self.record(encode, run_dir, 0)
        return found | {"knn_top1_pixels": self.measure_pixels()} if found else {}

    def _check(self, bank, queries):
        """Warns of classes that the bank has not, once: it is no reason to end a run."""
        try:
            check_classes(bank, queries, self._source)
        except UserError as error:
            if not self._told:
                log.warning("kNN counts as wrong what it cannot know: %s", error)
            self._told = True

    def measure_pixels(self):
        """Returns the top-1 of raw pixels, brought to at most 32 × 32 by averaging."""
        return self.measure(_small)


def encoder_function(encoder, features):
    """Returns the compiled inference function of an `Encoder`.

    Args:
        features: "pooled" for the backbone's features, "embedding" for the head's unit-length output.
    """
    network = encoder.backbone if features == "pooled" else encoder

    @tf.function(reduce_retracing=True, autograph=False)
    def encode(images):
        return network(images, training=False)

    return encode


def _small(images):
    return tf.image.resize(images, (32, 32), method="area") if images.shape[1] > 32 else images
