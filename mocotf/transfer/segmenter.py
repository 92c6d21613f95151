"""The papers' FCN-16s on a pre-trained backbone: a class for every pixel, all layers tuned."""

import keras
import tensorflow as tf

from mocotf.training.trainer import Trainer

IGNORED = 255  # class of pixels that are neither learned from nor measured on
CHANNELS = 256  # of the head (arXiv 1911.05722, §4.2.2)
DILATION = 6
STD = 0.01  # of the last layer's new weights


class Segmenter(Trainer):
    """Maps images to class scores of every pixel, and learns by cross-entropy.

        backbone, its last stage dilated → 2 × (3×3×256 dilated by 6, BN, ReLU) → 1×1 → bilinear

    A ResNet of the "imagenet" stem has the map of stride 16 that FCN-16s is named after, one of the
    "small" or "cifar" stem a finer one, another backbone that of its own last stage. Batch norm takes
    the statistics of all replicas together.

    Args:
        backbone: a `Pyramid`; a ResNet's is dilated.
        classes: how many, with the background.
        channels, dilation: of the head's two convolutions.
    """

    def __init__(self, backbone, classes, *, channels=CHANNELS, dilation=DILATION):
        super().__init__(name="segmenter")
        self.backbone = backbone
        self.stride = backbone.stride
        self.align_corners = backbone.align_corners
        self.head = _head(backbone.output.shape[-1], classes, channels, dilation)
        self.built = True

    @property
    def trained_variables(self):
        return [*self.backbone.trainable_variables, *self.head.trainable_variables]

    def variable_groups(self):
        return {"backbone": self.backbone.variables, "head": self.head.variables}

    def call(self, images, training=False):
        """Returns the scores `[n, H, W, classes]`, float32, of normalised images `[n, H, W, 3]`."""
        height, width = tf.shape(images)[1], tf.shape(images)[2]
        # Where place i of the map looks at pixel i · stride, the first and the last are at the image's
        # first and last pixels if sides are 1 + a multiple of the stride, as 513 is.
        first = int(self.align_corners)
        spare = [[0, (first - side) % self.stride] for side in (height, width)]
        images = tf.pad(images, [[0, 0], *spare, [0, 0]])
        scores = self.head(self.backbone(images, training=training), training=training)
        scores = tf.raw_ops.ResizeBilinear(
            images=tf.cast(scores, tf.float32),
            size=tf.shape(images)[1:3],
            align_corners=self.align_corners,
            half_pixel_centers=not self.align_corners,
        )
        return scores[:, :height, :width]

    def classify(self, images):
        """Returns the class of each pixel, uint8 `[n, H, W]`, of normalised images `[n, H, W, 3]`."""
        return tf.cast(tf.argmax(self(images, training=False), axis=-1), tf.uint8)

    def train_step(self, batch):
        """One step on this replica's share of the global batch: images `[n, S, S, 3]`, masks uint8
        `[n, S, S]`.

        Returns float32 scalars: `loss`, the mean over the pixels of all replicas; `gradient_norm`.
        """
        images, masks = batch
        learned = masks != IGNORED
        replica = tf.distribute.get_replica_context()
        pixels = replica.all_reduce(
            tf.distribute.ReduceOp.SUM, tf.reduce_sum(tf.cast(learned, tf.float32))
        )
        with tf.GradientTape() as tape:
            scores = self(images, training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
                tf.where(learned, tf.cast(masks, tf.int32), 0), scores
            )
            loss = tf.reduce_sum(tf.where(learned, losses, 0.0)) / tf.maximum(pixels, 1.0)
            # The optimizer sums gradients over replicas, of which each has its own part of the sum.
            scaled_loss = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled_loss, [v.value for v in self.trained_variables])
        # `fit` takes the mean of what are parts.
        return {"loss": loss * replica.num_replicas_in_sync} | self.descend(gradients)


def _head(features, classes, channels, dilation):
    """Returns the layers from features to scores of the same size."""
    x = inputs = keras.Input((None, None, features))
    for i in (1, 2):
        x = keras.layers.Conv2D(
            channels,
            3,
            padding="same",
            dilation_rate=dilation,
            use_bias=False,
            kernel_initializer=keras.initializers.VarianceScaling(2.0, mode="fan_out"),
            name=f"head.conv{i}",
        )(x)
        x = keras.layers.BatchNormalization(
            momentum=0.9, epsilon=1e-5, synchronized=True, name=f"head.bn{i}"
        )(x)
        x = keras.layers.ReLU(name=f"head.relu{i}")(x)
    scores = keras.layers.Conv2D(
        classes, 1, kernel_initializer=keras.initializers.RandomNormal(stddev=STD), name="head.score"
    )(x)
    return keras.Model(inputs, scores, name="head")
