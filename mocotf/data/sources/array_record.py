"""Records kept in ArrayRecord files, found by number."""

import numpy as np
import tensorflow as tf

from mocotf import extras
from mocotf.data.sources.base import draw_by_index
from mocotf.data.sources.records import named


class ArrayRecordFiles:
    """ArrayRecord files on a local file system, as `RecordFiles` but read at any position.

    A handle is a record's number; the queries' follow the training images'.

    Args:
        flag: what messages begin with, as "--dataset=my_set".
        training, queries: of each file, what `tfds.core.SplitInfo.file_instructions` says.

    Attributes:
        paths: of all files.

    Raises:
        UserError: array_record is not installed.
    """

    def __init__(self, flag, training, queries=()):
        wanted_by = f"{flag}: is kept as array_record, not as tfrecord"
        reader = extras.require("array_record.python.array_record_data_source", wanted_by)
        files = [*training, *queries]
        # Its readers are safe to use from the pipeline's threads, one a file for all of them.
        self._records = reader.ArrayRecordDataSource(files)
        self.paths = [str(file.filename) for file in files]
        self._paths = tf.constant(self.paths)
        self._ends = tf.constant(np.cumsum([file.take for file in files]), tf.int64)
        self._firsts = self._ends - tf.constant([file.take + file.skip for file in files], tf.int64)
        self._size = sum(file.take for file in training)

    def steps_per_epoch(self, batch_size, workers):
        """Returns how many whole batches there are."""
        del workers
        return self._size // batch_size

    def draw(self, order, first_step):
        """Returns the dataset of (key, handle) that a worker draws, as `Source.draw` has it."""
        return draw_by_index(order, first_step, self._size)

    def index(self, handle):
        """Returns the record's number."""
        return handle

    def in_order(self, split):
        """Returns the finite dataset of handles of "bank" or "queries"."""
        ends = (0, self._size) if split == "bank" else (self._size, len(self._records))
        return tf.data.Dataset.range(*ends)

    def load(self, handle):
        """Returns the record."""
        record = tf.numpy_function(lambda number: self._records[int(number)], [handle], tf.string)
        return tf.ensure_shape(record, [])

    def describe(self, handle):
        """Returns "path#number in the file"."""
        file = tf.searchsorted(self._ends, [handle], side="right")[0]
        return named(self._paths[file], handle - self._firsts[file])
