"""RetinaNet of KerasHub as we build it: targets, losses, what is tuned, replicas, detections; saved."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mocotf.data.views.augmentations import Augmentation
from mocotf.errors import UserError
from mocotf.nn.keras_backbones import as_backbone
from mocotf.optim.sgd import SGD
from mocotf.transfer import saved_detector
from mocotf.transfer.backbone import pyramid
from mocotf.transfer.coco_scores import MOST_DETECTIONS
from mocotf.transfer.detection import Detection
from mocotf.transfer.detection_views import Canvas
from mocotf.transfer.detector import PRIOR
from mocotf.transfer.detector import Detector
from mocotf.transfer.detector import box_loss_of
from mocotf.transfer.detector import class_loss_of
from mocotf.transfer.scenes import cutout_scenes
from tests import keras_models
from tests import tiny

SIZE, CLASSES = 32, 3
VIEW = Augmentation(size=16, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
CANVAS = Canvas(64, (64,), 64)  # images are enlarged


def make(classes=CLASSES, stem="cifar", **options):
    keras.utils.set_random_seed(0)
    options = {"canvas": SIZE, "levels": (2, 3), "depth": 1} | options
    return Detector(pyramid(tiny.stages(0.125, stem)), classes, **options)


def batch(n=4):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(n, SIZE, SIZE, 3)).astype(np.float32)
    boxes = np.full((n, 3, 4), -1, np.float32)
    labels = np.full((n, 3), -1, np.float32)
    for i in range(n - 1):  # the last one has no object
        y, x = rng.integers(0, 14, 2)
        boxes[i, 0] = y, x, y + 17, x + 15
        labels[i, 0] = i % CLASSES
    return images, boxes, labels


def iou(box, anchors):
    """Returns the IoU of a box with anchors, counted by hand."""
    top, left = np.maximum(box[0], anchors[:, 0]), np.maximum(box[1], anchors[:, 1])
    bottom, right = np.minimum(box[2], anchors[:, 2]), np.minimum(box[3], anchors[:, 3])
    common = np.clip(bottom - top, 0, None) * np.clip(right - left, 0, None)
    areas = (anchors[:, 2] - anchors[:, 0]) * (anchors[:, 3] - anchors[:, 1])
    return common / (areas + (box[2] - box[0]) * (box[3] - box[1]) - common)


@pytest.fixture(scope="module")
def detector():
    return make()


def targets_of(detector, images, boxes, labels):
    anchors = np.concatenate(list(detector.retina.anchor_generator(images).values()))
    offsets, classes = detector.retina.label_encoder(images, boxes, labels)
    return anchors, offsets.numpy(), classes.numpy()


def test_targets_are_those_of_the_papers_rule(detector):
    images, boxes, labels = batch()
    anchors, offsets, classes = targets_of(detector, images, boxes, labels)
    assert len(anchors) == 9 * (8**2 + 4**2)
    fitting = 0
    for i in range(3):
        overlap = iou(boxes[i, 0], anchors)
        expected = np.where(overlap >= 0.5, labels[i, 0], np.where(overlap >= 0.4, -2, -1))
        np.testing.assert_array_equal(classes[i], expected)
        fits = overlap >= 0.5
        fitting += fits.sum()
        y, x = (anchors[fits, :2] + anchors[fits, 2:]).T / 2
        height, width = (anchors[fits, 2:] - anchors[fits, :2]).T
        y1, x1, y2, x2 = boxes[i, 0]
        centre = ((x1 + x2) / 2 - x) / width, ((y1 + y2) / 2 - y) / height
        extent = np.log((x2 - x1) / width), np.log((y2 - y1) / height)
        np.testing.assert_allclose(offsets[i, fits].T, [*centre, *extent], atol=1e-5)
    assert fitting > 3
    assert (classes[3] == -1).all() and np.isfinite(offsets).all()  # no object: background


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_targets_are_float32_whatever_the_precision(precision):
    side, found = 1024, {}
    boxes = np.array([[[901.3, 887.7, 1001.9, 1010.1], [700.2, 10.6, 833.1, 99.4]]], np.float32)
    labels = np.array([[1, 2]], np.float32)
    images = np.zeros((1, side, side, 3), np.float32)
    for policy in ("float32", precision):
        keras.config.set_dtype_policy(policy)
        encoder = make(canvas=side, levels=(4, 4), stem="small").retina.label_encoder
        found[policy] = [part.numpy() for part in encoder(images, boxes, labels)]
    offsets, classes = found["float32"]
    assert (classes > 0).sum() > 3
    np.testing.assert_array_equal(found[precision][1], classes)
    np.testing.assert_array_equal(found[precision][0], offsets)


def test_losses_are_those_of_the_papers():
    rng = np.random.default_rng(0)
    classes = np.array([[2, -1, -2, 0]], np.float32)
    scores = rng.normal(size=(1, 4, CLASSES)).astype(np.float32)
    p = 1 / (1 + np.exp(-scores.astype(np.float64)))
    right = np.array([[0, 0, 1], [0, 0, 0], [0, 0, 0], [1, 0, 0]], bool)[None]
    focal = np.where(right, 0.25 * (1 - p) ** 2 * -np.log(p), 0.75 * p**2 * -np.log(1 - p))
    expected = focal[:, [0, 1, 3]].sum()
    assert float(class_loss_of(classes, tf.constant(scores))) == pytest.approx(expected, rel=1e-4)

    targets, found = rng.normal(size=(2, 1, 4, 4)).astype(np.float32)
    found[0, 0] = targets[0, 0] + 0.05  # within the parabola
    x = np.abs(targets - found).astype(np.float64)
    smooth = np.where(x < 0.1, x**2 / 0.2, x - 0.05)
    loss = box_loss_of(tf.constant(targets), classes, tf.constant(found))
    assert float(loss) == pytest.approx(smooth[:, [0, 3]].sum(), rel=1e-4)


def test_to_begin_with_every_class_is_as_rare_as_the_prior(detector):
    offsets, scores = detector(batch()[0])
    assert np.median(tf.sigmoid(scores)) == pytest.approx(PRIOR, rel=0.1)
    assert np.max(tf.sigmoid(scores)) < 0.1 and np.abs(np.mean(offsets)) < 0.1


def trained(strategy, steps=2):
    """Returns (name → array of all there is after some steps, the reports of the steps, the model)."""
    with strategy.scope():
        model = make()
        model.compile(optimizer=SGD(0.05, momentum=0.9), auto_scale_loss=False)
        model.optimizer.build(model.trained_variables)
    model.steps_per_epoch, model.total_steps = steps, steps
    step = model.make_train_function()
    shares = [np.split(part, strategy.num_replicas_in_sync) for part in batch()]
    values = strategy.experimental_distribute_values_from_function(
        lambda context: tuple(tf.constant(s[context.replica_id_in_sync_group]) for s in shares)
    )
    logs = [{k: float(v) for k, v in step(iter([values])).items()} for _ in range(steps)]
    return {v.path: v.numpy() for v in model.retina.variables}, logs, model


@pytest.fixture(scope="module")
def alone(replicas):
    return trained(replicas(1))


def test_every_layer_is_tuned(alone):
    before = {v.path: v.numpy() for v in make().retina.variables}
    after, logs, model = alone
    assert logs[0]["loss"] == pytest.approx(logs[0]["box_loss"] + logs[0]["class_loss"], rel=1e-5)
    unused = {f"fpn/output_norm_P{level}/{name}" for level in (2, 3) for name in
              ("gamma", "beta", "moving_mean", "moving_variance")}  # fmt: skip
    seeds = {name for name in before if "seed_generator" in name}
    assert len(before) == len(model.retina.variables)  # names are all different
    unchanged = {name for name, value in before.items() if np.array_equal(value, after[name])}
    assert unchanged - seeds == unused
    tuned = {v.path for v in model.trained_variables}
    assert tuned == {n for n in before if "moving_" not in n} - unused - seeds
    assert {"conv1/kernel", "bn1/gamma"} <= tuned


def test_a_keras_model_with_stages_is_tuned():
    backbone = pyramid(as_backbone(keras_models.with_stages))
    model = Detector(backbone, CLASSES, canvas=128, depth=1)
    model.compile(optimizer=SGD(0.05), auto_scale_loss=False)
    model.optimizer.build(model.trained_variables)
    names = [v.path for v in model.retina.variables]
    assert len(set(names)) == len(names), "checkpoints know them by their names"
    before = [v.numpy() for v in backbone.trainable_variables]
    images, *truth = batch()
    logs = model.train_step((tf.constant(tf.tile(images, [1, 4, 4, 1])), *map(tf.constant, truth)))
    assert np.isfinite(float(logs["loss"]))
    for old, variable in zip(before, backbone.trainable_variables, strict=True):
        assert not np.array_equal(old, variable.numpy()), variable.path


@pytest.mark.slow
def test_two_replicas_learn_what_one_does_of_the_joint_batch(replicas, alone):
    one, one_logs, _ = alone
    two, two_logs, _ = trained(replicas(2))
    for a, b in zip(one_logs, two_logs, strict=True):
        assert a == pytest.approx(b, rel=2e-3)
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, atol=2e-4, rtol=2e-3, err_msg=name)


def test_all_batch_norm_is_of_all_replicas(detector):
    layers = detector.retina._flatten_layers()
    norms = [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(norms) == 5 + 2 + 2
    assert {(n.synchronized, n.momentum, n.epsilon) for n in norms} == {(True, 0.9, 1e-5)}


def test_detections_are_decoded_and_thinned_out_class_by_class(detector, monkeypatch):
    images = np.zeros((1, SIZE, SIZE, 3), np.float32)
    box = np.float32([[[3, 5, 20, 20]]])
    anchors, offsets, classes = targets_of(detector, images, box, np.float32([[1]]))
    scores = np.full((1, len(anchors), CLASSES), -9, np.float32)
    fits = np.flatnonzero(classes[0] == 1)
    scores[0, fits, 1] = np.linspace(0, 2, len(fits))  # all say the same box
    scores[0, fits[0], 2] = 1.0  # of another class it stays
    answer = tf.constant(offsets), tf.constant(scores)
    monkeypatch.setattr(detector, "call", lambda images, training: answer)
    boxes, found, labels, counts = (x.numpy() for x in detector.detect(tf.constant(images), 10))
    assert counts.tolist() == [2] and labels[0, :2].tolist() == [1, 2]
    np.testing.assert_allclose(boxes[0, :2], [box[0, 0]] * 2, atol=1e-3)
    np.testing.assert_allclose(found[0, :2], 1 / (1 + np.exp([-2.0, -1.0])), rtol=1e-5)
    assert boxes.shape == (1, 10, 4) and not found[0, 2:].any()


def test_saved_it_finds_what_it_does_in_python_in_pixels_of_the_image(tmp_path):
    detector = make(10, canvas=64, levels=(None, None))
    bias = detector.retina.classification_head.prediction_layer.bias
    bias.assign_add(tf.random.stateless_normal(bias.shape, [0, 1]) + 3)  # now it finds something
    scenes, path = cutout_scenes(1, 2, 48), str(tmp_path / "saved")
    saved_detector.save(detector, CANVAS, VIEW, scenes.class_names, path)
    serve = tf.saved_model.load(path).signatures["serving_default"]
    images = [tf.io.encode_png(scenes.load(handle)) for handle in (1, 2)]
    found = serve(image_bytes=tf.stack([images[0], tf.constant("no image"), images[1]]))
    answers = Detection(scenes, CANVAS)._answers(detector, VIEW)
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


def test_a_folder_that_it_cannot_be_saved_in_is_told(detector, tmp_path):
    with pytest.raises(UserError, match="is no folder that can be written"):
        saved_detector.save(detector, Canvas(SIZE, (SIZE,), SIZE), VIEW, "ab", str(tmp_path / "a/b"))
