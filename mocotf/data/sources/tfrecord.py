"""Shards of TFRecords with ImageNet's features."""

import concurrent.futures
import os

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from mocotf.data.batches import TOGETHER
from mocotf.data.sources.base import Source
from mocotf.data.sources.records import READERS
from mocotf.data.sources.records import RecordFiles
from mocotf.data.sources.records import contents_of
from mocotf.data.sources.records import names_and_sizes
from mocotf.data.sources.records import opened
from mocotf.errors import UserError

IMAGE, LABEL = "image/encoded", "image/class/label"
TRAIN, QUERIES = "train-", "validation-"
NO_LABEL = tf.int64.min
LOOKED_AT = 8  # records, to tell whether there are images and labels
AROUND = 16  # bytes of a record beside its data: its length in 8, then two checksums of 4


class TFRecords(Source):
    """Uncompressed TFRecord files of `tf.train.Example`, on any path that TensorFlow reads.

    An example has `image/encoded` (bytes) and may have `image/class/label` (an integer), as ImageNet's
    usual shards do. Images stay encoded until the pipeline crops them. Per image nothing is held.

    Args:
        data_dir: a folder of `train-*` files, its `validation-*` files are queries for kNN; or a
            pattern such as "gs://bucket/set/part-*", all of whose files are trained on.
        num_images: spares reading the headers of all training records, in order to count them; taken
            to be spread evenly over the files, so that images have no index.

    Raises:
        UserError: no files, no whole record in them, or none with an image.
    """

    name, in_sequence = "tfrecord", True

    def __init__(self, data_dir, num_images=None):
        flag = f"--data_dir={data_dir}"
        paths, queries = _shards(data_dir)
        if not paths:
            raise UserError(
                f"{flag}: no shards found; expected a folder of {TRAIN}* files, or a pattern as "
                f"{os.path.join(data_dir, 'part-*')}"
            )
        counts, bad = _count(paths) if num_images is None else _spread(num_images, paths)
        query_counts, bad_queries = _count(queries)
        self.bad_shards = (*bad, *bad_queries)
        self.size = sum(counts)
        self.indexed = num_images is None
        self._files = RecordFiles(flag, paths, counts, queries)
        found = self._features("bank")
        if not self.size or not found:
            raise UserError(
                f"{flag}: no records in {len(paths)} files, of which the first is {paths[0]}; expected "
                "uncompressed TFRecord files, whole ones"
            )
        if IMAGE not in found:
            raise UserError(
                f"{flag}: the first records have features {', '.join(sorted(found))}; expected one "
                f"named {IMAGE}; try writing them anew"
            )
        if LABEL in found and LABEL in self._features("queries"):
            self.evaluation_sizes = (self.size, sum(query_counts))

    def digest(self):
        return names_and_sizes(self._files.paths)

    def contents(self):
        return contents_of(self._files.paths)

    def steps_per_epoch(self, batch_size, workers=1):
        return self._files.steps_per_epoch(batch_size, workers)

    def draw(self, order, first_step=0):
        return self._files.draw(order, first_step)

    def load(self, handle):
        return _feature(handle, IMAGE, tf.constant(b""))

    def index(self, handle):
        return self._files.index(handle)

    def describe(self, handle):
        return self._files.describe(handle)

    def sample(self, n):
        return self._files.in_order("bank").take(n)  # to draw takes a shuffle buffer

    def evaluation(self, split):
        absent = tf.constant(NO_LABEL, tf.int64)

        def labelled(handles):
            some = tf.data.Dataset.from_tensor_slices(handles)
            some = some.map(lambda handle: (handle, _feature(handle, LABEL, absent)))
            return some.ignore_errors()  # of what is no tf.train.Example; those of reading are not its

        records = self._files.in_order(split).batch(TOGETHER)
        return records.flat_map(labelled).filter(lambda _, label: label != absent)

    def _features(self, split):
        """Returns the names of features of the first records, LABEL's only where it is one integer."""
        names = set()
        for handle in self._files.in_order(split).take(LOOKED_AT):
            try:
                features = tf.train.Example.FromString(handle["record"].numpy()).features.feature
                names |= {n for n, f in features.items() if n != LABEL or len(f.int64_list.value) == 1}
            except DecodeError:
                names.add("(a record that is no tf.train.Example)")
        return names


def _shards(data_dir):
    """Returns (paths to train on, paths of queries), sorted."""
    if not tf.io.gfile.isdir(data_dir):
        return sorted(tf.io.gfile.glob(data_dir)), []
    names = sorted(tf.io.gfile.listdir(data_dir))
    return tuple(
        [os.path.join(data_dir, name) for name in names if name.startswith(prefix)]
        for prefix in (TRAIN, QUERIES)
    )


def _count(paths):
    """Returns (how many whole records each file has, "path: reason" of those that are damaged)."""
    with concurrent.futures.ThreadPoolExecutor(READERS) as pool:
        found = list(pool.map(count_records, paths))
    bad = [f"{path}: {reason}" for path, (_, reason) in zip(paths, found, strict=True) if reason]
    return [count for count, _ in found], bad


def _spread(num_images, paths):
    """Returns what `_count` does, where only empty files are looked for."""
    filled = [tf.io.gfile.stat(path).length > 0 for path in paths]
    ends = num_images * np.cumsum([0, *filled]) // max(1, sum(filled))
    bad = [f"{path}: empty" for path, is_filled in zip(paths, filled, strict=True) if not is_filled]
    return np.diff(ends).tolist(), bad


def count_records(path):
    """Returns (how many whole records a file has, what is wrong with it or None), by their headers."""
    size = tf.io.gfile.stat(path).length
    count = position = 0
    with opened(path) as file:
        while position < size:
            file.seek(position)
            header = file.read(8)
            position += AROUND + int.from_bytes(header, "little")
            if len(header) < 8 or position > size:
                return count, f"cut short after {count} records"
            count += 1
    return count, None if count else "empty"


def _feature(handle, name, absent):
    feature = tf.io.FixedLenFeature([], absent.dtype, default_value=absent)
    return tf.io.parse_single_example(handle["record"], {name: feature})[name]
