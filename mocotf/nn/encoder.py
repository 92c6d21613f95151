"""An encoder: backbone and projection head."""

import keras
import tensorflow as tf

from mocotf.errors import UserError
from mocotf.nn.heads import linear_head
from mocotf.nn.heads import mlp_head
from mocotf.nn.keras_backbones import as_backbone
from mocotf.nn.remat import recomputed


@keras.saving.register_keras_serializable("mocotf")
class Encoder(keras.Model):
    """Maps images `[n, H, W, N]` to embeddings `[n, dim]` of unit length, float32 or wider.

    Attributes:
        backbone: images to pooled features `[n, C]`; what is kept after pre-training.
        head: features to `[n, dim]`; what is thrown away.
        remat: in training, keep only what the backbone's `blocks` take in, and compute the rest again
            for the gradient: less memory, a longer step, the same results.

    Raises:
        UserError: remat, and the backbone has no blocks.
    """

    def __init__(self, backbone, head, *, remat=False, name=None):
        super().__init__(name=name)
        self.backbone = backbone
        self.head = head
        self.remat = remat
        if remat:
            # A function, so that Keras and checkpoints do not see the layers twice.
            self._recomputed_features = _recomputed_features(backbone)
        self.built = True  # both parts are

    def call(self, images, training=False, with_features=False):
        """Returns embeddings `[n, dim]`; `with_features` as (embeddings, the backbone's `[n, C]`)."""
        features = self.features(images, training=training)
        z = self.embed(features, training=training)
        return (z, features) if with_features else z

    def features(self, images, training=False):
        """Returns the backbone's features `[n, C]` of images."""
        if training and self.remat:
            return self._recomputed_features(images)
        return self.backbone(images, training=training)

    def embed(self, features, training=False):
        """Returns the embeddings `[n, dim]` of the backbone's features `[n, C]`."""
        return self.normalize(self.head(features, training=training))

    def normalize(self, z):
        """Returns `z` `[n, dim]` scaled to unit length."""
        # Under a bfloat16 or float16 policy everything from here on is float32.
        z = tf.cast(z, tf.float64 if z.dtype == tf.float64 else tf.float32)
        return tf.math.l2_normalize(z, axis=-1)

    def get_config(self):
        parts = {"backbone": self.backbone, "head": self.head}
        parts = {n: keras.saving.serialize_keras_object(part) for n, part in parts.items()}
        return parts | {"remat": self.remat, "name": self.name}

    @classmethod
    def from_config(cls, config):
        parts = {n: keras.saving.deserialize_keras_object(config[n]) for n in ("backbone", "head")}
        return cls(**config | parts)


def _recomputed_features(backbone):
    """Returns a backbone in training, images `[n, H, W, N]` → `[n, C]`, recomputed block by block."""
    if not backbone.blocks:
        raise UserError(
            f"remat: backbone {backbone.name} does not say what its blocks are; expected a ResNet of "
            "mocotf; drop it"
        )
    *stem_and_blocks, pooling = backbone.blocks
    stem_and_blocks = [recomputed(part) for part in stem_and_blocks]

    def features(x):
        for part in stem_and_blocks:
            x = part(x)
        return pooling(x)

    return features


def build_encoder(
    backbone, *, dim=128, mlp=False, remat=False, head=None, name=None, **backbone_options
):
    """Returns a new `Encoder`.

    Args:
        backbone: a `keras.Model`, of which a copy is taken, or a function () → new model.
        dim: of embeddings.
        mlp: MoCo v2's head instead of v1's.
        remat, name: see `Encoder`.
        head: (features, dim) → head, instead of what `mlp` chooses.
        backbone_options: bn_splits, image_size, mean, std, channels and seed, see
            `as_backbone`.

    Raises:
        UserError: it cannot be a backbone, and why.
    """
    backbone = as_backbone(backbone, name=name, **backbone_options)
    head = head or (mlp_head if mlp else linear_head)
    return Encoder(backbone, head(backbone.output_shape[-1], dim), remat=remat, name=name)
