"""What the data tests share: photographs, draws, tests of distributions, a small data set on disk."""

import functools
import io
import os

import numpy as np
import skimage
import tensorflow as tf
from PIL import Image
from scipy import stats

from mocotf.data.sources.folder import Folder
from mocotf.data.views import color
from mocotf.data.views.tensorflow_ops import view_draws
from tests import tiny_tfds
from tests.measured import agree

P_VALUE = 1e-3  # samples have fixed seeds: a test that passes once passes always


def photograph(name, height, width):
    """Returns a photograph of scikit-image's wheel, uint8 `[height, width, 3]`."""
    with Image.open(os.path.join(os.path.dirname(skimage.__file__), "data", name)) as image:
        return np.asarray(image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS))


def assert_close_levels(ours, theirs, mean, most=255, quantity=None):
    """Compares images in 0…255: their mean and largest absolute difference, in grey levels.

    A `quantity` puts the mean difference in the table of docs/reference/fidelity.md.
    """
    assert np.shape(ours) == np.shape(theirs)
    difference = np.abs(np.asarray(ours, np.float64) - np.asarray(theirs, np.float64))
    if quantity:
        agree(f"image: {quantity}, grey levels", difference.mean(), mean)
    assert difference.mean() <= mean, f"{difference.mean():.3f} levels on average"
    assert difference.max() <= most, f"{difference.max():.3f} levels at most"


def in_planes(operator):
    """Returns an operator of `mocotf.data.views.color` that takes and gives images `[n, H, W, C]`."""

    def interleaved(images, *arguments):
        planes = tf.transpose(images, [0, 3, 1, 2])
        return tf.transpose(operator(planes, *arguments), [0, 2, 3, 1])

    return interleaved


def jitter_with(op):
    """Returns (images, factor) → images of one operator of `color.jitter`, with a factor for each."""

    def apply(images, factor):
        draw, factors = np.zeros_like(factor), np.repeat(factor[:, None], 4, axis=1)
        return in_planes(color.jitter)(images, draw, factors, np.eye(4)[op]).numpy()

    return apply


@functools.cache
def many_draws(images=10_000, seed=0):
    """Returns the draws of a run's first images, float32 `[images, 2, DRAWS]`."""
    numbers = tf.range(images, dtype=tf.int64)
    return tf.vectorized_map(lambda number: view_draws(seed, number), numbers).numpy()


def assert_same_distribution(sample, reference_cdf):
    """Kolmogorov-Smirnov; discrete values make it lenient, shared ones strict."""
    p = stats.kstest(np.ravel(sample), reference_cdf).pvalue
    assert p > P_VALUE, f"Kolmogorov-Smirnov p {p:.1e}"


def uniform(low, high):
    """Returns the cumulative distribution function of U(low, high)."""
    return stats.uniform(low, high - low).cdf


def assert_share(hits, probability):
    """Binomial test of independent yes-or-no draws."""
    p = stats.binomtest(int(np.sum(hits)), np.size(hits), probability).pvalue
    assert p > P_VALUE, f"share {np.mean(hits):.4f}, expected {probability:.4f}, p {p:.1e}"


def assert_equally_likely(values, kinds):
    """Chi-square test of values 0 … kinds - 1."""
    p = stats.chisquare(np.bincount(values, minlength=kinds)).pvalue
    assert p > P_VALUE, f"chi-square p {p:.1e}"


def write_colours(
    folder, count, sizes=((40, 50), (70, 45), (33, 90)), suffixes=("png", "jpg", "bmp", "gif")
):
    """Writes `count` images of different sizes and formats, 25 levels of red or green apart."""
    os.makedirs(folder, exist_ok=True)
    for i in range(count):
        height, width = sizes[i % len(sizes)]
        image = np.zeros((height, width, 3), np.uint8)
        image[..., 0], image[..., 1] = 25 * (i % 9), 25 * (i // 9)
        image[..., 2] = np.linspace(0, 255, width)
        suffix = suffixes[i % len(suffixes)]
        Image.fromarray(image).save(os.path.join(folder, f"{i:03}.{suffix}"))


def folder_with_bad_files(folder, count, numbers):
    """Writes so many images, and a truncated JPEG, an empty file, a text in place of `numbers`."""
    write_colours(folder, count)
    file = io.BytesIO()
    Image.fromarray(photograph("coffee.png", 60, 80)).save(file, "JPEG")
    contents = file.getvalue()[: len(file.getvalue()) // 2], b"", b"not an image"
    for number, content in zip(numbers, contents, strict=False):
        next(folder.glob(f"{number:03}.*")).unlink()
        (folder / f"{number:03}.jpg").write_bytes(content)
    return Folder(str(folder))


def colour_number(images):
    """Returns which image of `write_colours` each of `images` in [0, 1] shows."""
    red, green = np.moveaxis(np.rint(np.mean(images, (1, 2)) * 255 / 25).astype(int), -1, 0)[:2]
    return red + 9 * green


def drawn(source, order, steps, first_step=0, threads=None):
    """Returns, a row for each of a worker's steps, the (key, name) of the images it draws."""
    images = source.draw(order, first_step).map(lambda key, handle: (key, source.describe(handle)))
    options = tf.data.Options()
    if threads:
        options.threading.private_threadpool_size = threads
    batches = images.with_options(options).batch(order.share).take(steps)
    return [list(zip(*map(np.ndarray.tolist, b), strict=True)) for b in batches.as_numpy_iterator()]


def flat(steps):
    return [image for step in steps for image in step]


def write_records(path, records):
    """Writes one TFRecord file."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)


def example(**features):
    """Returns a serialized `tf.train.Example`; "image__encoded" is the feature image/encoded."""
    of_type = {bytes: "bytes_list", int: "int64_list", float: "float_list"}
    proto = tf.train.Example()
    for name, value in features.items():
        feature = proto.features.feature[name.replace("__", "/")]
        values = value if isinstance(value, list) else [value]
        getattr(feature, of_type[type(values[0])]).value.extend(values)
    return proto.SerializeToString()


def prepare_tiny_images(data_dir, shards=4, file_format="tfrecord", image="image"):
    """Prepares the TFDS data set tiny_images under `data_dir`.

    It has 60 training and 12 test images, each of one grey level of its own, as is its label.
    """

    def features(of):
        return {image: of.Image(shape=(None, None, 3)), "label": of.ClassLabel(num_classes=256)}

    def make(level):
        return {image: np.full((30 + level % 7, 40, 3), level, np.uint8), "label": level}

    splits = {"train": range(60), "test": range(100, 112)}
    tiny_tfds.prepare(data_dir, "tiny_images", features, splits, make, shards, file_format)
