"""Scenes of TensorFlow Datasets: VOC, COCO, and others of their features."""

import tensorflow as tf

from mocotf.data.sources.records import RecordFiles
from mocotf.data.sources.tfds import PREPARED
from mocotf.data.sources.tfds import lying_in
from mocotf.data.sources.tfds import prepared
from mocotf.errors import UserError
from mocotf.transfer.datasets import RecordDataset
from mocotf.transfer.datasets import check_tfrecord
from mocotf.transfer.scenes import Scenes

# data set: (name of a builder, its splits) of the training part, then (name, splits) of the test part
PARTS = {
    "voc": ([("voc/2007", ("train", "validation")), ("voc/2012", ("train", "validation"))],
            ("voc/2007", ("test",))),
    "coco": ([("coco/2017", ("train",))], ("coco/2017", ("validation",))),
}  # fmt: skip


class TFDSScenes(RecordDataset, Scenes):
    """Scenes of TensorFlow Datasets, kept as tfrecord, whose features are "image" and "objects".

    Args:
        name: "voc", "coco", or "tfds" for a data set that is prepared and lies in `data_dir`: its train
            and, with a test split too, validation splits are trained on.
        data_dir: where data sets are kept, None is tensorflow-datasets' default; with the name "tfds",
            the folder of one version of one data set.

    Raises:
        UserError: the data set cannot be prepared, or has no boxes.
    """

    def __init__(self, name, data_dir=None):
        super().__init__()
        self.name = name
        if name == PREPARED:
            builder = lying_in(data_dir)
            splits = [s for s in ("train", "validation", "test") if s in builder.info.splits]
            training, test = [(builder, splits[:-1])], (builder, splits[-1:])
        else:
            parts, (test_name, test_splits) = PARTS[name]
            builders = {b: prepared(b, data_dir) for b in dict.fromkeys(b for b, _ in parts)}
            training = [(builders[b], splits) for b, splits in parts]
            test = builders[test_name], test_splits
        self._builder = test[0]
        self._check(name, training)
        self.class_names = tuple(self._builder.info.features["objects"]["label"].names)
        files = [
            (str(path), count)
            for builder, splits in training
            for split in splits
            for path, count in zip(
                builder.info.splits[split].filepaths,
                builder.info.splits[split].shard_lengths,
                strict=True,
            )
        ]
        paths, counts = ([*column] for column in zip(*files, strict=True))
        queries = [str(path) for split in test[1] for path in test[0].info.splits[split].filepaths]
        self._records = RecordFiles(f"--dataset={name}", paths, counts, queries)
        self.size = sum(counts)
        self.test_size = sum(test[0].info.splits[split].num_examples for split in test[1])

    def _check(self, name, training):
        features = self._builder.info.features
        objects = features["objects"].feature if "objects" in features else None
        if "image" not in features or objects is None or not {"bbox", "label"} <= set(objects):
            raise UserError(
                f"--dataset={name}: has features {', '.join(features)}; expected image, and objects of "
                "bbox and label, as voc and coco have"
            )
        if not hasattr(objects["label"], "names"):
            raise UserError(
                f"--dataset={name}: labels of its objects are no ClassLabel; expected one, whose names "
                "are those of the classes"
            )
        if not any(splits for _, splits in training):
            raise UserError(
                f"--dataset={name}: has splits {', '.join(self._builder.info.splits)}; expected train "
                "and one of validation, test"
            )
        for builder, _ in training:
            check_tfrecord(name, builder)
        self._hard_feature = next((f for f in ("is_crowd", "is_difficult") if f in objects), None)
        # Difficult objects are trained on by what the papers' tables are made with.
        self.hard_are_crowds = self._hard_feature != "is_difficult"

    def load(self, handle):
        return self._parse(handle)["image"]

    def truth(self, handle, shape):
        objects = self._parse(handle)["objects"]
        height, width, _ = tf.unstack(tf.cast(shape, tf.float32), num=3)
        boxes = tf.clip_by_value(objects["bbox"], 0, 1) * tf.stack([height, width, height, width])
        labels = objects["label"]
        hard = objects[self._hard_feature] if self._hard_feature else tf.zeros_like(labels, tf.bool)
        good = tf.reduce_all(boxes[:, 2:] > boxes[:, :2], axis=1) & (labels >= 0)
        return boxes[good], labels[good], hard[good]

    def _parse(self, handle):
        import tensorflow_datasets as tfds

        return self._builder.info.features.deserialize_example(
            self._records.load(handle), decoders={"image": tfds.decode.SkipDecoding()}
        )
