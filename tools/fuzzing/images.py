"""The ways that image files go: training's, evaluation's, embedding's, the served graph's."""

import functools
import os

import numpy as np
import tensorflow as tf

from mocotf.data.positives import OnePicture
from mocotf.data.pretraining import prepare
from mocotf.data.sources.image_files import files_named
from mocotf.data.views import augmentations
from mocotf.data.views.channels import decode_channels
from mocotf.data.views.crop import sample_window
from mocotf.data.views.decode import or_else
from mocotf.data.views.formats import MAX_PIXELS
from mocotf.data.views.formats import SERVED_PIXELS
from mocotf.data.views.formats import format_of
from mocotf.data.views.host import view_maker
from mocotf.data.views.orientation import decode_image
from mocotf.data.views.tensorflow_ops import view_draws
from tools.fuzzing import corpus
from tools.fuzzing.worker import Different

SIZE = 32
COMPARED = 2**20  # pixels of an image that is compared, and not only decoded
CHANNELS = 4
AUGMENTATION = augmentations.v2(size=SIZE)
BYTES = tf.TensorSpec([], tf.string)
KEY = 0
LARGER = (
    8  # times what a pixel of an image may cost is what it costs in the dearest of TensorFlow's formats
)
GUESSED = 24  # levels
EDGE = np.s_[2:-2, 2:-2]
TENSORFLOWS = ("JPEG", "PNG", "GIF")  # of others some are left to Python, which a served graph has not


class Given:
    """A source whose handles are the images' bytes."""

    upright, max_pixels = True, MAX_PIXELS

    def load(self, handle):
        return handle


class Image:
    """The target of image files: all ways decode the same files, to the same pixels.

    What they may differ in is documented: what Python decodes is no image to the served graph, nor
    what is too large for it; of a JPEG training reads the window that it needs, and nothing of the
    damage behind it; and libjpeg guesses from the neighbours that a window has: the colour of its last
    columns, which is stored for every second one, and what is missing of a progressive one.

    Args:
        step: of a `Meter`.
        served: folder of an exported model.
        folder: of the file that is embedded, an own one.
    """

    def __init__(self, step, served, folder):
        self._step, self._path = step, os.path.join(folder, "image")
        self._files = files_named([self._path], upright=True)
        self._model = tf.saved_model.load(served)
        self._one = OnePicture(Given(), AUGMENTATION, seed=0, views=2)
        self._make = view_maker(AUGMENTATION, "numba")
        for kind in ("JPEG", "TIFF"):  # what is traced and compiled is no case's
            self(corpus.by_pillow(kind, "RGB", 30, 40, 0, False, False))

    def __call__(self, content):
        with open(self._path, "wb") as file:
            file.write(content)
        encoded = tf.constant(content)
        with self._step("evaluation"):
            good, sides, view = self._evaluated(encoded)
        with self._step("training"):
            trained, *_ = self._trained(encoded)
        with self._step("embedding"):
            _, (embedded,), (centre,) = self._embedded()
        with self._step("the served graph"):
            answer = self._model.signatures["serving_default"](encoded[None])
        with self._step("channels"):
            self._channels(encoded)
        good, valid = bool(good), bool(answer["valid"][0])
        told(bool(embedded) == good, "embedding", embedded, good)
        by_python = format_of(content) not in TENSORFLOWS
        too_large = np.prod(sides) > SERVED_PIXELS // LARGER
        told(valid == good or (good and (by_python or too_large)), "the served graph", valid, good)
        jpeg = bool(tf.io.is_jpeg(encoded))
        told(bool(trained) == good or (jpeg and trained), "training", trained, good)
        if not good:
            return "refused"
        normalised = (centre / 255 - AUGMENTATION.mean) / AUGMENTATION.std
        alike(view, normalised, 1e-4, "embedding's view")
        if np.prod(sides) <= COMPARED:
            self._compare(encoded, answer if valid else None, jpeg)
        return "decoded"

    def _compare(self, encoded, answer, jpeg):
        pixels = self._pixels(encoded)
        if answer:
            plain = self._model.signatures["serving_tensor"](pixels[None])
            alike(answer["embedding"], plain["embedding"], 1e-4, "the served graph's embedding")
        _, part, windows = self._trained(encoded)
        draws = view_draws(0, KEY)
        whole = np.stack(sample_window(draws, *pixels.shape[:2], AUGMENTATION.min_area), axis=1)
        top, left = whole[:, :2].min(axis=0) if jpeg else (0, 0)  # others are decoded whole
        alike(whole - windows, np.broadcast_to([top, left, 0, 0], whole.shape), 0, "training's windows")
        height, width = part.shape[:2]
        expected = pixels[top : top + height, left : left + width]
        if not jpeg:
            alike(part, expected, 0, "training's pixels")
            return
        alike(part, expected, GUESSED, "training's pixels")
        if not is_progressive(encoded.numpy()):
            # Turned, the window's last columns may be any side of it.
            alike(part[EDGE], expected[EDGE], 0, "training's pixels inside of the window")

    @functools.partial(tf.function, input_signature=[BYTES], autograph=False)
    def _evaluated(self, encoded):
        def make():
            image = decode_image(encoded, upright=True)
            return tf.shape(image)[:2], prepare(image, AUGMENTATION)

        good, (sides, view) = or_else(make, (tf.zeros([2], tf.int32), tf.zeros(AUGMENTATION.shape)))
        return good, sides, view

    @functools.partial(tf.function, input_signature=[BYTES], autograph=False)
    def _trained(self, encoded):
        def make():
            ((image, windows, draws),) = self._one.decoded(tf.constant(KEY, tf.int64), encoded)
            with tf.control_dependencies(self._make(image, windows, draws)):
                return tf.identity(image), windows

        blank = tf.zeros([0, 0, 3], tf.uint8), tf.zeros([2, 4], tf.int32)
        good, (image, windows) = or_else(make, blank)
        return good, image, windows

    @functools.partial(tf.function, input_signature=[], autograph=False)  # else optimised each time
    def _embedded(self):
        return self._files.views(SIZE, batch_size=1).get_single_element()

    @functools.partial(tf.function, input_signature=[BYTES], autograph=False)
    def _pixels(self, encoded):
        return decode_image(encoded, upright=True)

    @functools.partial(tf.function, input_signature=[BYTES], autograph=False)
    def _channels(self, encoded):
        blank = tf.zeros([0, 0, CHANNELS])
        return or_else(lambda: decode_channels(encoded, CHANNELS), blank)


def is_progressive(content):
    return b"\xff\xc2" in content


def told(agrees, what, found, evaluated):
    if not agrees:
        raise Different(f"{what} decodes: {bool(found)}; evaluation: {evaluated}")


def alike(found, expected, most, what):
    """Raises a `Different` where two arrays differ by more."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    if found.shape != expected.shape:
        raise Different(f"{what}: {found.shape}; expected {expected.shape}")
    worst = np.abs(found - expected).max(initial=0)
    if not worst <= most:
        raise Different(f"{what}: {worst:g} off; expected at most {most:g}")
