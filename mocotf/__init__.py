"""Momentum Contrast (MoCo v1 and v2) for TensorFlow and Keras.

encoder = mocotf.load_encoder("runs/v2")
names, vectors = mocotf.embed_folder(encoder, "my_photos")
"""

import importlib

__version__ = "0.1.0"

# Imported when asked for: TensorFlow takes seconds.
_WHERE = {"load_encoder": "mocotf.interop.keras_file", "embed_folder": "mocotf.image_search.embedding"}


def __getattr__(name):
    if name not in _WHERE:
        raise AttributeError(f"module 'mocotf' has no attribute {name!r}")
    return getattr(importlib.import_module(_WHERE[name]), name)
