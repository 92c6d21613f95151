"""Momentum Contrast (MoCo v1 and v2) for TensorFlow and Keras.

model = mocotf.MoCo(backbone, dim=128, mlp=True, K=4096, T=0.2, bn_splits=8)
model.compile(keras.optimizers.AdamW(1e-3))
model.fit(mocotf.two_crops("my_photos", batch_size=256, image_size=96), epochs=10)

encoder = mocotf.load_encoder("runs/v2")
names, vectors = mocotf.embed_folder(encoder, "my_photos")
"""

import importlib
import sys

__version__ = "0.1.0"

# Imported when asked for: TensorFlow takes seconds.
_WHERE = {
    "MoCo": "mocotf.moco.model",
    "SGD": "mocotf.optim.sgd",
    "SimCLR": "mocotf.moco.simclr",
    "SimSiam": "mocotf.moco.simsiam",
    "EndToEnd": "mocotf.moco.end_to_end",
    "embed_folder": "mocotf.image_search.embedding",
    "load_encoder": "mocotf.interop.keras_file",
    "two_crops": "mocotf.data.two_crops",
}


def __getattr__(name):
    if name not in _WHERE:
        raise AttributeError(f"module 'mocotf' has no attribute {name!r}")
    if "tensorflow" not in sys.modules:  # what it reads of its environment it reads once
        importlib.import_module("mocotf.training.environment").prepare()
    return getattr(importlib.import_module(_WHERE[name]), name)
