"""Pre-trains a model of keras.applications with `compile` and `fit`, and Keras's own callbacks.

    python examples/keras_fit.py my_photos encoder.keras --epochs=10

The encoder that is written is a Keras model from views to features.
"""

import argparse

import keras

import mocotf

SIZE = 96  # pixels of a view

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("pictures", help="folder of pictures, in any sub-folders")
parser.add_argument("out", help="file of the encoder, .keras")
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--batch_size", type=int, default=64)
asked = parser.parse_args()

backbone = keras.applications.MobileNetV2(
    input_shape=(SIZE, SIZE, 3), alpha=0.5, include_top=False, pooling="avg", weights=None
)
model = mocotf.MoCo(backbone, dim=128, mlp=True, K=4096, m=0.99, T=0.2, bn_splits=4)
model.compile(keras.optimizers.AdamW(1e-3))
views = mocotf.two_crops(asked.pictures, batch_size=asked.batch_size, image_size=SIZE)
callbacks = [keras.callbacks.CSVLogger(f"{asked.out}.csv"), keras.callbacks.TerminateOnNaN()]
model.fit(views, epochs=asked.epochs, callbacks=callbacks, verbose=2)
model.backbone.save(asked.out)
