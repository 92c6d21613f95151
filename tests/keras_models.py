"""Small backbones of Keras's own layers, as users have them: functional, sequential, subclassed."""

import keras

SIDE = 16


def sequential():
    return keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 3)),
            keras.layers.Conv2D(8, 3, 2),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )


def functional():
    """A map, of two branches with batch norm, one of them a model of its own."""
    images = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(8, 3, 2, padding="same")(images)
    x = keras.layers.BatchNormalization(scale=False)(x)
    inner = keras.Sequential([keras.layers.Conv2D(8, 1), keras.layers.BatchNormalization()])
    return keras.Model(images, keras.layers.Add()([x, inner(x)]))


class Subclassed(keras.Model):
    """Layers without names, built by the first call."""

    def __init__(self):
        super().__init__()
        self.conv = keras.layers.Conv2D(8, 3, 2)
        self.norm = keras.layers.BatchNormalization()
        self.pool = keras.layers.GlobalAveragePooling2D()

    def call(self, x, training=False):
        return self.pool(keras.activations.relu(self.norm(self.conv(x), training=training)))


def subclassed():
    return Subclassed()


def with_dropout():
    """Tokens, without batch norm, with dropout of a fixed seed."""
    images = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Conv2D(8, 4, 4, name="patches")(images)
    x = keras.layers.Dropout(0.5, seed=7)(keras.layers.Reshape((-1, 8))(x))
    return keras.Model(images, keras.layers.LayerNormalization()(x))


def with_stages(side=None, pixels=False):
    """A map of stride 32, of five strided convolutions with batch norm; it may take pixels in 0…255."""
    x = images = keras.Input((side, side, 3))
    if pixels:
        x = keras.layers.Normalization(mean=[120, 110, 100], variance=[3e3, 4e3, 5e3])(x)
    for _ in range(5):
        x = keras.layers.Conv2D(8, 3, 2, padding="same", use_bias=False)(x)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    return keras.Model(images, x, name="with_stages")


ALL = (sequential, functional, subclassed, with_dropout)
