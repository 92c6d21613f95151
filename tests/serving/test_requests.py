"""Requests to views, in a graph."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mocotf.data.pretraining import prepare
from mocotf.data.views.augmentations import Augmentation
from mocotf.data.views.decode import decode
from mocotf.data.views.orientation import TAG
from mocotf.serving.requests import signatures_of
from mocotf.serving.requests import views_of
from tests.data.support import example
from tests.data.support import photograph

VIEW = Augmentation(size=24, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))


def ask(signature, elements, upright=False):
    spec, image_of = signatures_of(None)[signature]

    @tf.function(input_signature=[spec], autograph=False)
    def graph(x):
        return views_of(x, image_of, VIEW, upright)

    views, valid = graph(tf.constant(elements, spec.dtype))
    return views.numpy(), valid.numpy()


def python_views(images):
    return np.stack([prepare(decode(tf.constant(image)), VIEW) for image in images])


def test_images_of_any_kind_and_size_in_one_batch_are_what_evaluation_sees(images):
    views, valid = ask("serving_default", images)
    np.testing.assert_array_equal(views, python_views(images))
    assert valid.all()


def test_what_is_no_image_is_flagged_and_leaves_the_others_alone(images):
    cut = images[0][: len(images[0]) // 2]
    views, valid = ask("serving_default", [b"", images[0], b"hello", cut, images[1]])
    assert valid.tolist() == [False, True, False, False, True]
    np.testing.assert_array_equal(views[valid], python_views(images[:2]))
    assert not views[~valid].any()


@pytest.mark.parametrize("elements", [[], [b"hello"]])
def test_a_batch_without_images(elements):
    views, valid = ask("serving_default", elements)
    assert views.shape == (1, 24, 24, 3) and not views.any()
    assert valid.shape == (len(elements),) and not valid.any()


def test_examples_are_taken_by_their_encoded_image(images):
    examples = [
        example(image__encoded=images[0], image__height=3),
        example(label=3),
        b"\x07 no proto",
        example(image__encoded=b"hello"),
        example(image__encoded=images[1]),
    ]
    views, valid = ask("serving_example", examples)
    assert valid.tolist() == [True, False, False, False, True]
    np.testing.assert_array_equal(views[valid], python_views(images[:2]))


@pytest.mark.parametrize("signature", ["serving_default", "serving_example"])
def test_files_are_turned_as_exif_says_where_they_are_to_be(signature):
    photo, stored, exif = Image.fromarray(photograph("coffee.png", 60, 90)), io.BytesIO(), Image.Exif()
    exif[TAG] = 6
    photo.save(stored, "PNG", exif=exif)
    turned = prepare(np.asarray(photo.transpose(Image.Transpose.ROTATE_270)), VIEW)
    file = stored.getvalue()
    asked = [example(image__encoded=file) if signature == "serving_example" else file]
    for upright, expected in ((True, turned), (False, python_views([file])[0])):
        np.testing.assert_array_equal(ask(signature, asked, upright)[0], [expected])


def test_pixels_are_resized_cropped_and_normalised():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 40, 31, 3), np.uint8)
    views, valid = ask("serving_tensor", pixels)
    assert valid.all()
    np.testing.assert_array_equal(views, np.stack([prepare(tf.constant(p), VIEW) for p in pixels]))
