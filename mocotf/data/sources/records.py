"""Records kept in files that are read in sequence: which worker reads what, and in which order."""

import functools
import hashlib
import itertools
import os

import tensorflow as tf

from mocotf.errors import UserError

SHUFFLE_BUFFER = 16384  # encoded images: about 2 GB of ImageNet's
READERS = 16  # files read in turn
PIECE = 2**22  # bytes read at a time, to know all of a file
MOST_FILES, MOST_RECORDS = 2**20, 2**28  # of a data set, of a file: a key has so much room for each


class RecordFiles:
    """TFRecord files, as several workers read them in an order of their own each epoch.

    A worker reads the same files throughout a run. Each epoch it takes them in a new order and mixes
    their records in a buffer; both are functions of (seed, epoch, worker, workers).

    A handle has the record, the path and the number of its file, and its number there. A key is made of
    (epoch, file, number in the file): it is the same whichever worker reads the record.

    Args:
        flag: what messages begin with, as "--data_dir=DIR".
        paths: of the training images.
        counts: how many records each of them has.
        queries: paths of the files read for evaluation only.
    """

    def __init__(self, flag, paths, counts, queries=()):
        self._flag = flag
        self._counts = counts
        self._firsts = tf.constant([0, *itertools.accumulate(counts)][:-1], tf.int64)
        self._paths = {"bank": paths, "queries": queries}

    @property
    def paths(self):
        """Of all files."""
        return [*self._paths["bank"], *self._paths["queries"]]

    def steps_per_epoch(self, batch_size, workers):
        """Returns how many steps the worker with the fewest records can make."""
        fewest = min(sum(self._counts[file] for file in own) for own in self._divided(workers))
        return fewest // (batch_size // workers)

    def draw(self, order, first_step):
        """Returns the dataset of (key, handle) that a worker draws, as `Source.draw` has it."""
        own = self._divided(order.workers)[order.worker]
        buffer = min(sum(self._counts[file] for file in own), SHUFFLE_BUFFER)
        per_epoch = order.steps_per_epoch * order.share
        first_epoch, steps = divmod(first_step, order.steps_per_epoch)
        done = tf.constant(steps * order.share, tf.int64)

        def epoch(number):
            seed = tf.stack([tf.constant(order.seed, tf.int64), number])
            for part in (order.worker, order.workers):
                seed = tf.random.experimental.stateless_fold_in(seed, tf.constant(part, tf.int64))
            files = tf.random.experimental.stateless_shuffle(tf.constant(own, tf.int64), seed)
            mixed = shuffle(self._in_turn(files, number), buffer, seed)
            # A damaged file has fewer records than were counted. The epoch then begins again, rather
            # than end early: all later ones start at their step, where a resumed run looks for them.
            whole = mixed.repeat().take(per_epoch)
            whole = whole.apply(tf.data.experimental.assert_cardinality(per_epoch))  # or none is left
            # These are records only: nothing is decoded in order to be skipped.
            return whole.skip(tf.where(number == first_epoch, done, 0))

        # A range of epochs is what a data service divides among its workers.
        epochs = tf.data.Dataset.range(tf.constant(first_epoch, tf.int64), tf.int64.max)
        return epochs.flat_map(epoch)

    def in_order(self, split):
        """Returns the finite dataset of handles of "bank" or "queries"."""
        paths = tf.data.Dataset.from_tensor_slices(tf.constant(self._paths[split], tf.string))
        return paths.enumerate().flat_map(_read)

    def load(self, handle):
        """Returns the record."""
        return handle["record"]

    def describe(self, handle):
        """Returns "path#number in the file"."""
        return named(handle["path"], handle["number"])

    def index(self, handle):
        """Returns the place of a training record among all, as they were counted; int64."""
        return self._firsts[handle["file"]] + handle["number"]

    def _in_turn(self, files, epoch):
        """Returns the dataset of (key, handle) that reads some files side by side."""
        paths = tf.constant(self._paths["bank"])

        def read(file):
            first_key = (epoch * MOST_FILES + file) * MOST_RECORDS
            return tf.data.Dataset.zip(tf.data.Dataset.counter(first_key), _read(file, paths[file]))

        return tf.data.Dataset.from_tensor_slices(files).interleave(
            read, cycle_length=READERS, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )

    def _divided(self, workers):
        """Returns the numbers of the files that each worker reads, about as many records for each."""
        filled = [file for file, count in enumerate(self._counts) if count]
        if len(filled) < workers:
            raise UserError(
                f"{self._flag}: {len(filled)} files with records for {workers} workers; expected at "
                "least one for each; try fewer workers, or write the data set in more files"
            )
        divided, load = [[] for _ in range(workers)], [0] * workers
        for file in sorted(filled, key=lambda file: -self._counts[file]):
            worker = load.index(min(load))
            divided[worker].append(file)
            load[worker] += self._counts[file]
        return divided


def contents_of(paths):
    """Returns what `Source.contents` does of whole files."""
    names = (os.fsencode(os.path.basename(path)) for path in paths)
    return len(paths), zip(names, (functools.partial(_pieces, path) for path in paths), strict=True)


def names_and_sizes(paths):
    """Returns a text that stands for the names and sizes of files."""
    found = [(os.path.basename(path), tf.io.gfile.stat(path).length) for path in paths]
    return hashlib.sha256(repr(found).encode()).hexdigest()[:16]


def opened(path):
    """Returns a file of this machine, or at an address, open for reading."""
    # TensorFlow's reads half a megabyte after each seek.
    return open(path, "rb", buffering=0) if os.path.isfile(path) else tf.io.gfile.GFile(path, "rb")


def _pieces(path):
    with opened(path) as file:
        while piece := file.read(PIECE):
            yield piece


def named(path, number):
    """Returns what messages call a record, a string tensor."""
    return tf.strings.join([path, "#", tf.strings.as_string(number)])


def _read(file, path):
    """Returns the handles of a file, whose number is `file`, up to the first record that is damaged;
    fails if it is gone."""
    # Ignoring errors, TensorFlow would try for ever to open a file that is gone: its first byte is read
    # before, with errors.
    first_byte = tf.data.FixedLengthRecordDataset(path, record_bytes=1).take(1)
    records = first_byte.flat_map(
        lambda _: tf.data.TFRecordDataset(path).ignore_errors(log_warning=True)
    )

    def same(x):
        return tf.data.Dataset.from_tensors(x).repeat()

    number = tf.data.Dataset.counter()
    return tf.data.Dataset.zip(
        {"record": records, "path": same(path), "file": same(file), "number": number}
    )


def shuffle(dataset, buffer, key):
    """`dataset.shuffle`, whose seed may be no tensor in a graph, and which mixes in the global one.

    Args:
        dataset: any.
        buffer: elements mixed at a time.
        key: of the order, int64 `[2]`.
    """
    # Two zeros would mean no seed.
    seeds = tf.random.stateless_uniform([2], key, minval=1, maxval=2**62, dtype=tf.int64)
    specs = tf.nest.flatten(dataset.element_spec)
    shuffled = tf.raw_ops.ShuffleDataset(
        input_dataset=tf.data.experimental.to_variant(dataset),
        buffer_size=tf.constant(buffer, tf.int64),
        seed=seeds[0],
        seed2=seeds[1],
        output_types=[spec.dtype for spec in specs],
        output_shapes=[spec.shape for spec in specs],
        reshuffle_each_iteration=False,
    )
    return tf.data.experimental.from_variant(shuffled, dataset.element_spec)
