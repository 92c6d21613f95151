"""An encoder: backbone and projection head."""

import keras
import tensorflow as tf

from mocotf.nn.heads import linear_head
from mocotf.nn.heads import mlp_head
from mocotf.nn.resnet import resnet


class Encoder(keras.Model):
    """Maps images `[n, H, W, 3]` to embeddings `[n, dim]` of unit length, float32 or wider.

    Attributes:
        backbone: images to pooled features `[n, C]`; what is kept after pre-training.
        head: features to `[n, dim]`; what is thrown away.
    """

    def __init__(self, backbone, head, name=None):
        super().__init__(name=name)
        self.backbone = backbone
        self.head = head
        self.built = True  # both parts are

    def call(self, images, training=False):
        z = self.head(self.backbone(images, training=training), training=training)
        # Under a bfloat16 or float16 policy everything from here on is float32.
        z = tf.cast(z, tf.float64 if z.dtype == tf.float64 else tf.float32)
        return tf.math.l2_normalize(z, axis=-1)


def build_encoder(arch, *, dim=128, mlp=False, width=1.0, stem="imagenet", bn_splits=1, name=None):
    """Returns a new `Encoder`; arguments as in `resnet`, `mlp` chooses MoCo v2's head."""
    backbone = resnet(arch, width=width, stem=stem, bn_splits=bn_splits)
    features = backbone.output_shape[-1]
    head = mlp_head(features, dim) if mlp else linear_head(features, dim)
    return Encoder(backbone, head, name=name)
