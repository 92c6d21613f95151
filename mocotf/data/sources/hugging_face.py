"""Pictures in a column of a table: Parquet files, and data sets that Hugging Face's datasets saved."""

import contextlib
import functools
import hashlib
import io
import os

import numpy as np
import tensorflow as tf

from mocotf import extras
from mocotf.data.places.survey import SAMPLE
from mocotf.data.places.survey import USE
from mocotf.data.places.survey import survey
from mocotf.data.sources import columns
from mocotf.data.sources.classified import Classified
from mocotf.data.sources.hf_parts import EXPECTED
from mocotf.data.sources.hf_parts import parts_of
from mocotf.data.sources.records import named
from mocotf.errors import UserError
from mocotf.errors import first_line
from mocotf.files import printable
from mocotf.tables import counted


class HuggingFace(Classified):
    """The images in a column of a table on disk, read by row from a mapped Arrow file.

    Of several parts the one that has a name of `parts.TRAIN`, or else the first, is trained on, and
    the first of `parts.HELD_OUT` that has labels is queries; without, every tenth image is. An image
    is a value of bytes; or a struct of bytes and a path, from the data set's folder, of the file that
    is read where there are no bytes.

    Args:
        data_dir: a .parquet file, a folder or a pattern of such files, or a folder that datasets saved.
        image_column, label_column: names; None where there is no doubt.

    Attributes:
        columns: names of the columns of images and, if there is one, of labels.
        unused: names of parts that are neither trained on nor queries.

    Raises:
        UserError: datasets is not installed, or there is no whole table with images.
    """

    name = "hf"
    servable = False  # rows are fetched by Python

    def __init__(self, data_dir, image_column=None, label_column=None):
        extras.require("datasets", "--dataset=hf")
        place, flag = os.path.expanduser(data_dir), f"--data_dir={data_dir}"
        self._folder = place if os.path.isdir(place) else os.path.dirname(place)
        with _told(flag):
            openers, unused = parts_of(place)
            first, *others = openers
            train = openers[first]()
            self.size = sum(train.counts)
            if not self.size:
                raise UserError(f"{flag}: {first} has no rows; expected images")
            image = columns.image_column(flag, train.features, image_column)
            label = columns.label_column(flag, train.features, label_column)
            held_out = {name: openers[name] for name in others}
            queries, self.class_names, labels = _labelled(train, held_out, image, label)
            parts = [train, *queries.values()]
            self._images = [part.images(image) for part in parts]
        self.columns = (image, label) if label else (image,)
        self.unused = [*unused, *(name for name in others if name not in queries)]
        self.keep_labels(labels, bool(queries))
        counts = [count for part in parts for count in part.counts]
        self._paths = tf.constant([os.fsencode(path) for part in parts for path in part.paths])
        self._ends = tf.constant(np.cumsum(counts), tf.int64)
        self._firsts = self._ends - tf.constant(counts, tf.int64)

    def found(self):
        seen = survey(lambda row: io.BytesIO(self._content(row)), self.size)
        parts = [f"{counted(self.size, 'image')} ({seen.kinds})", *self.found_classes()]
        chosen = f"of column{'s' * (len(self.columns) > 1)} {', '.join(map(printable, self.columns))}"
        unused = f"not used: {', '.join(map(printable, self.unused))}" if self.unused else ""
        rotation = seen.rotation(USE[self.upright])
        return "; ".join(filter(None, [", ".join(parts), chosen, unused, rotation]))

    def digest(self):
        """Returns a text that stands for the number of images, and for the bytes of `SAMPLE` of them at
        most."""
        found = hashlib.sha256(str(self.size).encode())
        for row in np.linspace(0, self.size - 1, min(self.size, SAMPLE), dtype=np.int64):
            found.update(hashlib.sha256(self._content(row)).digest())
        return found.hexdigest()[:16]

    def contents(self):
        paths = [os.path.relpath(os.fsdecode(path), self._folder) for path in self._paths.numpy()]
        counts = np.diff(self._ends, prepend=0)
        rows = ((path, row) for path, n in zip(paths, counts, strict=True) for row in range(n))

        def each():
            for number, (path, row) in enumerate(rows):
                yield os.fsencode(f"{path}#{row}"), functools.partial(self._pieces, number)

        return int(self._ends[-1]), each()

    def load(self, handle):
        return tf.ensure_shape(tf.numpy_function(self._content, [handle], tf.string), [])

    def describe(self, handle):
        """Returns "path#row"; the path is a file's, or the folder's of a part that datasets saved."""
        handle = tf.cast(handle, tf.int64)
        file = tf.searchsorted(self._ends, [handle], side="right")[0]
        return named(self._paths[file], handle - self._firsts[file])

    def _pieces(self, row):
        yield self._content(row)

    def _content(self, row):
        """Returns the bytes of an image; none, which do not decode, where there are none."""
        held_out = int(row >= self.size)
        image = self._images[held_out][int(row) - held_out * self.size].as_py()
        if isinstance(image, dict):
            path = os.path.join(self._folder, image.get("path") or "")
            if image["bytes"] is None and os.path.isfile(path):
                with open(path, "rb") as file:
                    return file.read()
            image = image["bytes"]
        return image or b""


def _labelled(train, others, image, label):
    """Returns ({name: part} of the one that is held out, if any; the names of the classes; the labels
    of both parts).

    Args:
        train: the part that is trained on.
        others: name → function that opens a part that may be held out.
        image, label: the columns, which it has to have alike.
    """
    if not label:
        return {}, (), np.zeros([0], np.int32)
    declared, own = columns.names_of(train.features[label]), train.labels(label)
    for name, open_part in others.items():
        part = open_part()
        if all(part.features.get(column) == train.features[column] for column in (image, label)):
            classes, labels = columns.classes_of([own, part.labels(label)], declared)
            if (labels[len(own) :] >= 0).any():
                return {name: part}, classes, labels
    return {}, *columns.classes_of([own], declared)


@contextlib.contextmanager
def _told(flag):
    """Raises a `UserError` in place of what pyarrow and datasets raise."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # each kind of damage has its own exception
        reason = first_line(error.__cause__ or error).rstrip(".")
        raise UserError(f"{flag}: cannot be read: {reason}; expected {EXPECTED}") from error
