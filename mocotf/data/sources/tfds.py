"""Any image data set of TensorFlow Datasets."""

import os

import tensorflow as tf

from mocotf import extras
from mocotf.data.sources.array_record import ArrayRecordFiles
from mocotf.data.sources.base import Source
from mocotf.data.sources.records import RecordFiles
from mocotf.data.sources.records import contents_of
from mocotf.data.sources.records import names_and_sizes
from mocotf.errors import UserError
from mocotf.errors import first_line

PREPARED = "tfds"  # in place of a name: the data set that lies in --data_dir
INFO = "dataset_info.json"


class TFDS(Source):
    """A data set of tensorflow-datasets, prepared on first use (which may download it).

    Kept as tfrecord, it is read file by file; as array_record, at any position. Images stay encoded
    until the pipeline crops them.

    Args:
        name: as `tfds.builder` takes it: "cifar10", "imagenet2012", "my_set:1.0.0"; or "tfds" for a
            data set that is prepared already and lies in `data_dir`.
        data_dir: where data sets are kept, None is tensorflow-datasets' default; with the name "tfds",
            the folder of one version of one data set, in which dataset_info.json is.

    Raises:
        UserError: unknown name, no image feature, or the data set cannot be prepared.
    """

    indexed = True

    def __init__(self, name, data_dir=None):
        self.name = name
        self._builder = lying_in(data_dir) if name == PREPARED else prepared(name, data_dir)
        features = self._builder.info.features
        if "image" not in features:
            raise UserError(
                f"--dataset={name}: has features {', '.join(features)}; expected one named 'image'"
            )
        splits = self._builder.info.splits
        train = splits["train" if "train" in splits else next(iter(splits))]
        queries = next((splits[s] for s in ("validation", "test") if s in splits), None)
        self._records = _records(f"--dataset={name}", self._builder, train, queries)
        self.servable = self.in_sequence = isinstance(self._records, RecordFiles)
        self.size = train.num_examples
        if "label" in features and queries:
            self.evaluation_sizes = (self.size, queries.num_examples)
            self.class_names = tuple(getattr(features["label"], "names", None) or ())

    def digest(self):
        return names_and_sizes(self._records.paths)

    def contents(self):
        return contents_of(self._records.paths)

    def steps_per_epoch(self, batch_size, workers=1):
        return self._records.steps_per_epoch(batch_size, workers)

    def draw(self, order, first_step=0):
        return self._records.draw(order, first_step)

    def load(self, handle):
        return self._parse(handle)["image"]

    def label(self, handle):
        return self._parse(handle)["label"] if self.class_names else super().label(handle)

    def index(self, handle):
        return self._records.index(handle)

    def describe(self, handle):
        return self._records.describe(handle)

    def sample(self, n):
        return self._records.in_order("bank").take(n)  # to draw takes a shuffle buffer

    def evaluation(self, split):
        handles = self._records.in_order(split)
        return handles.map(lambda handle: (handle, self._parse(handle)["label"]))

    def _parse(self, handle):
        import tensorflow_datasets as tfds

        return self._builder.info.features.deserialize_example(
            self._records.load(handle), decoders={"image": tfds.decode.SkipDecoding()}
        )


def _records(flag, builder, train, queries):
    """Returns the reader of the files that a data set is kept in."""
    file_format = builder.info.file_format.value
    if file_format == "tfrecord":
        paths = [[str(path) for path in split.filepaths] for split in (train, queries) if split]
        return RecordFiles(flag, paths[0], list(train.shard_lengths), *paths[1:])
    if file_format == "array_record":
        return ArrayRecordFiles(flag, *(split.file_instructions for split in (train, queries) if split))
    raise UserError(
        f"{flag}: is kept as {file_format} in {builder.data_dir}; expected tfrecord or array_record; "
        "try another --data_dir, in which it is prepared anew"
    )


def _tensorflow_datasets(wanted_by):
    extras.require("importlib_resources", wanted_by)  # which it imports and does not declare
    return extras.require("tensorflow_datasets", wanted_by)  # takes seconds


def lying_in(data_dir):
    flags = f"--dataset={PREPARED} --data_dir={data_dir}"
    if not data_dir or not tf.io.gfile.exists(os.path.join(data_dir, INFO)):
        raise UserError(
            f"{flags}: no {INFO} there; expected the folder of a prepared data set, as "
            "~/tensorflow_datasets/my_set/1.0.0"
        )
    tfds = _tensorflow_datasets(flags)
    try:
        return tfds.builder_from_directory(data_dir)
    except Exception as error:  # each kind of damage has its own exception
        raise UserError(
            f"{flags}: {type(error).__name__}: {' '.join(str(error).split())}; expected a data set "
            "that tensorflow-datasets prepared; try to prepare it anew"
        ) from error


def prepared(name, data_dir):
    if data_dir and tf.io.gfile.exists(os.path.join(data_dir, INFO)):
        raise UserError(
            f"--dataset={name} --data_dir={data_dir}: is itself a prepared data set; expected the "
            f"folder that data sets are kept in; try: --dataset={PREPARED} --data_dir={data_dir}"
        )
    kind = f"--dataset={name}, which may be a data set of tensorflow-datasets"
    tfds = _tensorflow_datasets(kind)
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except Exception as error:  # each kind of wrong name, version or config has its own exception
        raise UserError(
            f"--dataset={name}: neither patches, folder, hf, tfrecord, tfds nor a data set of "
            f"tensorflow-datasets ({first_line(error)}); for your own images: "
            "--dataset=folder --data_dir=DIR"
        ) from error
    try:
        builder.download_and_prepare(file_format="tfrecord" if not builder.data_path.exists() else None)
    except Exception as error:  # downloads fail in many ways, each with its own exception
        raise UserError(
            f"--dataset={name}: could not be prepared in {builder.data_dir}: "
            f"{type(error).__name__}: {' '.join(str(error).split())}; expected a network; try "
            f"--dataset={PREPARED} --data_dir=FOLDER, of one that was prepared elsewhere"
        ) from error
    return builder
