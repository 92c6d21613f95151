"""KerasHub's RetinaNet on a pre-trained backbone, with the papers' rule: all layers are tuned."""

import keras
import keras_hub
import tensorflow as tf

from mocotf.errors import UserError
from mocotf.metrics import Metric
from mocotf.training import environment
from mocotf.training.trainer import Trainer
from mocotf.transfer.backbone import levels_of

PRIOR = 0.01  # that an anchor has an object, to begin with (arXiv 1708.02002, §4.1)
STD = 0.01  # of the heads' new weights, likewise
SMOOTH = 0.1  # where the box loss turns from a parabola to a line
SCORED = 0.05  # a detection's score is at least this
CANDIDATES = 5000  # boxes of an image that may be detections, before overlapping ones are removed
OVERLAP = 0.5  # IoU above which the less certain of two boxes of a class is removed


class Detector(Trainer):
    """Maps images to boxes, and learns by focal loss and smooth L1 of anchors.

    Built of KerasHub's parts: its feature pyramid with batch norm, its heads with group norm, which
    needs no statistics of a batch, its anchors and their matching. What differs from its
    `RetinaNetObjectDetector.fit`: the heads begin as RetinaNet's paper has it (KerasHub gives the
    prior of the classes to the boxes), losses are sums over classes and coordinates, and detections
    are thinned out class by class.

    Args:
        backbone: a `Pyramid`.
        classes: how many.
        canvas: side of the images, pixels.
        levels: (lowest, highest) of the feature pyramid, see `levels_of`.
        anchor: side of the smallest anchors at a level, in strides of it.
        depth: convolutions in a head before its last.

    Raises:
        UserError: the backbone has not the levels, or the canvas does not fit them.
    """

    METRICS = (
        *Trainer.METRICS,
        Metric("box_loss", "transfer/box_loss"),
        Metric("class_loss", "transfer/class_loss"),
    )

    def __init__(self, backbone, classes, *, canvas, levels=(None, None), anchor=4.0, depth=4):
        super().__init__(name="detector")
        levels = levels_of(backbone, *levels)
        if canvas % (stride := 2 ** levels[1]):  # KerasHub's anchors would not lie where maps look
            raise UserError(
                f"--canvas={canvas}: expected a multiple of {stride}, the stride of level {levels[1]}; "
                f"try {canvas // stride * stride + stride}"
            )
        self.canvas = canvas
        with environment.without_notices():
            # Once a process oneDNN says that it leaves these to TensorFlow; matching anchors has some.
            tf.transpose(tf.zeros([2, 2], tf.int64))
        self.retina = _retina_net(backbone, classes, canvas, levels, anchor, depth)
        self.built = True

    @property
    def trained_variables(self):
        return self.retina.trainable_variables

    def variable_groups(self):
        return {"detector": self.retina.variables}

    def call(self, images, training=False):
        """Returns of images `[n, S, S, 3]` the boxes' offsets `[n, A, 4]` from the A anchors, and class
        scores `[n, A, classes]` before the sigmoid, both float32."""
        outputs = self.retina(images, training=training)
        return tuple(tf.cast(outputs[name], tf.float32) for name in ("bbox_regression", "cls_logits"))

    def train_step(self, batch):
        """One step on this replica's share of the batch, as `training_batches` gives it.

        Returns float32 scalars: `loss`, the sum of `box_loss` and `class_loss`, each over the number
        of anchors that fit a box, on all replicas; `gradient_norm`.
        """
        images, boxes, labels = batch
        offsets, classes = self.retina.label_encoder(images, boxes, labels)  # [n, A, 4], [n, A]
        replica = tf.distribute.get_replica_context()
        fitting = tf.reduce_sum(tf.cast(classes >= 0, tf.float32))
        fitting = tf.maximum(replica.all_reduce(tf.distribute.ReduceOp.SUM, fitting), 1.0)
        with tf.GradientTape() as tape:
            found_offsets, scores = self(images, training=True)
            box_loss = box_loss_of(offsets, classes, found_offsets) / fitting
            class_loss = class_loss_of(classes, scores) / fitting
            # The optimizer sums gradients over replicas, of which each has its own part of the sums.
            scaled_loss = self.optimizer.scale_loss(box_loss + class_loss)
        gradients = tape.gradient(scaled_loss, [v.value for v in self.trained_variables])
        # `fit` takes means over replicas, of what are parts of sums.
        parts = {"box_loss": box_loss, "class_loss": class_loss, "loss": box_loss + class_loss}
        parts = {name: value * replica.num_replicas_in_sync for name, value in parts.items()}
        return parts | self.descend(gradients)

    def detect(self, images, most=100):
        """Returns what is found on images `[n, S, S, 3]`: boxes float32 `[n, most, 4]`, y1, x1, y2,
        x2 in pixels of the canvas, their scores in [0, 1] `[n, most]`, the highest first, labels int32
        `[n, most]`, and how many there are, int32 `[n]`; the rest is zeros."""
        offsets, scores = self(images, training=False)
        scores = tf.sigmoid(scores)
        candidates = tf.math.top_k(
            tf.reduce_max(scores, axis=2), k=min(CANDIDATES, scores.shape[1])
        ).indices
        anchors = tf.concat(list(self.retina.anchor_generator(images).values()), axis=0)
        boxes = keras.utils.bounding_boxes.decode_deltas_to_boxes(
            anchors=tf.gather(anchors, candidates),
            boxes_delta=tf.gather(offsets, candidates, batch_dims=1),
            anchor_format="yxyx",
            box_format="yxyx",
            encoded_format="center_xywh",
        )
        boxes = tf.clip_by_value(boxes, 0.0, float(self.canvas))
        found = tf.image.combined_non_max_suppression(
            boxes[:, :, None],
            tf.gather(scores, candidates, batch_dims=1),
            max_output_size_per_class=most,
            max_total_size=most,
            iou_threshold=OVERLAP,
            score_threshold=SCORED,
            clip_boxes=False,
        )
        boxes, scores, labels, counts = found
        return boxes, scores, tf.cast(labels, tf.int32), counts


def box_loss_of(targets, classes, offsets):
    """Returns the smooth L1 loss, summed over anchors that fit a box and over coordinates.

    Args:
        targets, offsets: what they should be and are, `[n, A, 4]`.
        classes: `[n, A]`, of anchors that fit a box from 0.
    """
    fits = tf.cast(classes >= 0, tf.float32)
    huber = keras.losses.Huber(delta=SMOOTH, reduction="sum")  # the mean over coordinates
    return 4 / SMOOTH * huber(targets, offsets, sample_weight=fits)


def class_loss_of(classes, scores):
    """Returns the focal loss, α .25 and γ 2, summed over anchors and classes.

    Args:
        classes: `[n, A]`; -1 is background, -2 is left out.
        scores: `[n, A, classes]`, before the sigmoid.
    """
    count = scores.shape[-1]
    focal = keras.losses.BinaryFocalCrossentropy(
        apply_class_balancing=True, from_logits=True, reduction="sum"
    )  # the mean over classes
    targets = tf.one_hot(tf.cast(classes, tf.int32), count)
    return count * focal(targets, scores, sample_weight=tf.cast(classes > -2, tf.float32))


def _retina_net(backbone, classes, canvas, levels, anchor, depth):
    pyramid = keras_hub.models.RetinaNetBackbone(
        image_encoder=backbone,
        min_level=levels[0],
        max_level=levels[1],
        use_p5=False,
        use_fpn_batch_norm=True,
        image_shape=(canvas, canvas, 3),
    )
    norms = pyramid.feature_pyramid.output_batch_norms
    for name in backbone.pyramid_outputs.keys() & norms.keys():
        norms[
            name
        ].trainable = False  # KerasHub makes it and does not use it: only coarser maps have one
    for layer in pyramid.feature_pyramid._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            # KerasHub gives it the epsilon for a momentum, and each replica its own statistics.
            layer.momentum, layer.epsilon, layer.synchronized = 0.9, 1e-5, True
    retina = keras_hub.models.RetinaNetObjectDetector(
        backbone=pyramid,
        num_classes=classes,
        bounding_box_format="yxyx",
        anchor_generator=keras_hub.layers.AnchorGenerator(
            "yxyx",
            min_level=levels[0],
            max_level=levels[1],
            num_scales=3,
            aspect_ratios=[0.5, 1.0, 2.0],
            anchor_size=anchor,
        ),
        use_prediction_head_norm=True,
        pre_logits_num_conv_layers=depth,
    )
    for layer in (retina.label_encoder, retina.label_encoder.box_matcher):
        layer.autocast = False  # a bfloat16 knows pixels near 1000 by fours
    prior = -tf.math.log((1 - PRIOR) / PRIOR)
    for head, bias in ((retina.box_head, 0.0), (retina.classification_head, prior)):
        for layer in [*head.conv_layers, head.prediction_layer]:
            layer.kernel.assign(keras.random.normal(layer.kernel.shape, stddev=STD))
        head.prediction_layer.bias.assign(tf.fill(head.prediction_layer.bias.shape, bias))
    return retina
