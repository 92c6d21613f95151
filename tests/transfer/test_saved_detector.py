"""A detector as a SavedModel finds what it finds in Python, in pixels of the image."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mocotf.data.recipe import Augmentation
from mocotf.errors import UserError
from mocotf.transfer import saved_detector
from mocotf.transfer.backbone import pyramid
from mocotf.transfer.coco_scores import MOST_DETECTIONS
from mocotf.transfer.detection import Detection
from mocotf.transfer.detection_views import Canvas
from mocotf.transfer.detector import Detector
from mocotf.transfer.scenes import cutout_scenes
from tests import tiny

VIEW = Augmentation(size=16, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))


@pytest.fixture(scope="module")
def detector():
    keras.utils.set_random_seed(0)
    backbone = pyramid(tiny.stages(0.125, "cifar"))
    model = Detector(backbone, 10, canvas=64, depth=1)
    bias = model.retina.classification_head.prediction_layer.bias
    bias.assign_add(tf.random.stateless_normal(bias.shape, [0, 1]) + 3)  # now it finds something
    return model


def test_it_answers_as_the_detector_does(detector, tmp_path):
    scenes = cutout_scenes(1, 2, 48)
    canvas = Canvas(64, (64,), 64)  # images are enlarged
    path = str(tmp_path / "saved")
    saved_detector.save(detector, canvas, VIEW, scenes.class_names, path)
    serve = tf.saved_model.load(path).signatures["serving_default"]
    images = [tf.io.encode_png(scenes.load(handle)) for handle in (1, 2)]
    found = serve(image_bytes=tf.stack([images[0], tf.constant("no image"), images[1]]))
    answers = Detection(scenes, canvas)._answers(detector, VIEW)
    for i, (_, _, (boxes, scores, labels)) in zip((0, 2), answers, strict=True):
        n = int(found["counts"][i])
        assert n == len(labels) > 3
        np.testing.assert_allclose(found["boxes"][i, :n], boxes, atol=1e-2)
        np.testing.assert_allclose(found["scores"][i, :n], scores, atol=1e-4)
        names = [name.decode() for name in found["names"][i, :n].numpy()]
        assert names == [scenes.class_names[label] for label in labels]
        assert 40 < np.max(found["boxes"][i]) <= 48
    assert found["counts"][1] == 0 and not np.any(found["scores"][1])
    assert set(found["labels"][1].numpy()) == {-1} and found["boxes"].shape == (3, MOST_DETECTIONS, 4)


def test_a_folder_that_cannot_be_written_is_told(detector, tmp_path):
    with pytest.raises(UserError, match="is no folder that can be written"):
        saved_detector.save(detector, Canvas(64, (64,), 64), VIEW, "ab", str(tmp_path / "a" / "b"))
