"""Masks of TensorFlow Datasets: those of its data sets that have a class for every pixel."""

import dataclasses

import numpy as np
import tensorflow as tf

from mocotf.data.sources.records import RecordFiles
from mocotf.data.sources.tfds import prepared
from mocotf.transfer.datasets import RecordDataset
from mocotf.transfer.datasets import check_tfrecord
from mocotf.transfer.masked import BACKGROUND
from mocotf.transfer.masked import Masked
from mocotf.transfer.segmenter import IGNORED


@dataclasses.dataclass(frozen=True)
class Form:
    """How a data set keeps its masks.

    Attributes:
        image, mask: names of the features.
        test: the split to measure on.
        class_names: in order.
        values: that stand for the classes in a mask, in the same order; others are ignored.
    """

    image: str
    mask: str
    test: str
    class_names: tuple[str, ...]
    values: tuple[int, ...]


FORMS = {
    "oxford_iiit_pet": Form("image", "segmentation_mask", "test", (BACKGROUND, "pet"), (2, 1)),
    # Of its 34 labels the 19 that count, as in Cityscapes' own scripts.
    "cityscapes/semantic_segmentation": Form(
        "image_left",
        "segmentation_label",
        "validation",
        (
            "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign",
            "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "train",
            "motorcycle", "bicycle",
        ),
        (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33),
    ),
}  # fmt: skip


class TFDSMasked(RecordDataset, Masked):
    """Images with masks of TensorFlow Datasets, kept as tfrecord.

    Args:
        name: a key of `FORMS`.
        data_dir: where data sets are kept, None is tensorflow-datasets' default.

    Raises:
        UserError: the data set cannot be prepared, or is kept in another format.
    """

    def __init__(self, name, data_dir=None):
        self.name = name
        self._form = form = FORMS[name]
        self.class_names = form.class_names
        self._builder = builder = prepared(name, data_dir)
        check_tfrecord(name, builder)
        train, test = builder.info.splits["train"], builder.info.splits[form.test]
        paths = [[str(path) for path in split.filepaths] for split in (train, test)]
        self._records = RecordFiles(f"--dataset={name}", paths[0], list(train.shard_lengths), paths[1])
        self.size, self.test_size = train.num_examples, test.num_examples
        classes = np.full([IGNORED + 1], IGNORED, np.uint8)
        classes[list(form.values)] = np.arange(len(form.values))
        self._classes = tf.constant(classes)

    def load(self, handle):
        import tensorflow_datasets as tfds

        form = self._form
        example = self._builder.info.features.deserialize_example(
            self._records.load(handle), decoders={form.image: tfds.decode.SkipDecoding()}
        )
        mask = tf.gather(self._classes, tf.cast(example[form.mask][..., 0], tf.int32))
        return self.pixels_of(example[form.image]), tf.ensure_shape(mask, [None, None])
