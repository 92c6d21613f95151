"""Any image data set of TensorFlow Datasets."""

import tensorflow as tf

from mocotf.data.source import Source
from mocotf.data.source import epochs_of
from mocotf.errors import UserError

SHUFFLE_BUFFER = 16384  # encoded images: about 2 GB of ImageNet's
READERS = 16  # shards read in turn


class TFDS(Source):
    """A data set of tensorflow-datasets, prepared on first use (which may download it).

    Files are read in a new order each epoch and mixed in a buffer; both are functions of the seed and
    the epoch. Images stay encoded until the pipeline crops them.

    Args:
        name: as `tfds.builder` takes it: "cifar10", "imagenet2012", "my_set:1.0.0".
        data_dir: where data sets are kept; None is tensorflow-datasets' default.

    Raises:
        UserError: unknown name, no image feature, or the data set cannot be prepared.
    """

    def __init__(self, name, data_dir=None):
        self.name = name
        self._builder = _prepared(name, data_dir)
        features = self._builder.info.features
        if "image" not in features:
            raise UserError(
                f"--dataset={name}: has features {', '.join(features)}; expected one named 'image'"
            )
        file_format = self._builder.info.file_format.value
        if file_format != "tfrecord":
            raise UserError(
                f"--dataset={name}: is kept as {file_format} in {self._builder.data_dir}; expected "
                "tfrecord; try another --data_dir, in which it is prepared anew"
            )
        splits = self._builder.info.splits
        self._train = "train" if "train" in splits else next(iter(splits))
        self._queries = next((s for s in ("validation", "test") if s in splits), None)
        self.size = splits[self._train].num_examples
        if "label" in features and self._queries:
            self.evaluation_sizes = (self.size, splits[self._queries].num_examples)

    def draw(self, seed, first, per_epoch):
        files = tf.constant(self._files(self._train))

        def epoch(number):
            key = tf.stack([tf.cast(seed, tf.int64), number])
            order = tf.random.experimental.stateless_shuffle(files, key)
            records = tf.data.Dataset.from_tensor_slices(order).interleave(
                tf.data.TFRecordDataset,
                cycle_length=READERS,
                num_parallel_calls=tf.data.AUTOTUNE,
                deterministic=True,
            )
            return _shuffle(records, min(self.size, SHUFFLE_BUFFER), key)

        return epochs_of(epoch, first, per_epoch)

    def load(self, handle):
        return self._parse(handle)["image"]

    def describe(self, handle):
        return tf.strings.join(
            [
                f"a record of {self.name}, digest ",
                tf.strings.as_string(tf.strings.to_hash_bucket_fast(handle, 2**62)),
            ]
        )

    def evaluation(self, part):
        split = self._train if part == "bank" else self._queries
        records = tf.data.TFRecordDataset(self._files(split))
        return records.map(lambda record: (record, self._parse(record)["label"]))

    def _files(self, split):
        return [str(path) for path in self._builder.info.splits[split].filepaths]

    def _parse(self, record):
        import tensorflow_datasets as tfds

        return self._builder.info.features.deserialize_example(
            record, decoders={"image": tfds.decode.SkipDecoding()}
        )


def _shuffle(records, buffer, key):
    """`records.shuffle`, whose seed may be no tensor in a graph, and which mixes in the global one."""
    # Two zeros would mean no seed.
    seeds = tf.random.stateless_uniform([2], key, minval=1, maxval=2**62, dtype=tf.int64)
    shuffled = tf.raw_ops.ShuffleDataset(
        input_dataset=tf.data.experimental.to_variant(records),
        buffer_size=tf.constant(buffer, tf.int64),
        seed=seeds[0],
        seed2=seeds[1],
        output_types=[tf.string],
        output_shapes=[tf.TensorShape([])],
        reshuffle_each_iteration=False,
    )
    return tf.data.experimental.from_variant(shuffled, records.element_spec)


def _prepared(name, data_dir):
    import tensorflow_datasets as tfds  # takes seconds to import; only this source pays

    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except Exception as error:  # each kind of wrong name, version or config has its own exception
        raise UserError(
            f"--dataset={name}: neither patches, folder nor a data set of tensorflow-datasets "
            f"({_first_line(error)}); for your own images: "
            "--dataset=folder --data_dir=DIR"
        ) from error
    try:
        builder.download_and_prepare(file_format="tfrecord" if not builder.data_path.exists() else None)
    except Exception as error:  # downloads fail in many ways, each with its own exception
        raise UserError(
            f"--dataset={name}: could not be prepared in {builder.data_dir}: "
            f"{type(error).__name__}: {' '.join(str(error).split())}"
        ) from error
    return builder


def _first_line(error):
    return (str(error).strip() or type(error).__name__).splitlines()[0]
