"""Pictures that packages embed, as files."""

import numpy as np
from PIL import Image

from mocotf.data.sources.patches import Patches
from tools.pictures.encoded import png

WHITE = 16.0  # of scikit-learn's digits


def patches():
    """Yields (train/CLASS or test/CLASS, contents of its PNG files): what --dataset=patches trains on,
    and asks about."""
    source = Patches()
    for folder, split in (("train", "bank"), ("test", "queries")):
        by_class = [[] for _ in source.class_names]
        for handle, label in source.evaluation(split).as_numpy_iterator():
            by_class[label].append(handle)
        for name, handles in zip(source.class_names, by_class, strict=True):
            images = (source.load(handle).numpy() for handle in handles)
            yield f"{folder}/{name}", (png(Image.fromarray(image)) for image in images)


def digits():
    """Yields the same of scikit-learn's hand-written digits: the first half to train on, the second to
    test on."""
    from sklearn.datasets import load_digits  # which patches do without

    found = load_digits()
    labels = found.target
    images = np.rint(found.images * (255 / WHITE)).astype(np.uint8)
    first = np.arange(len(labels)) < len(labels) // 2
    for folder, half in (("train", first), ("test", ~first)):
        for digit in range(10):
            chosen = images[half & (labels == digit)]
            yield f"{folder}/{digit}", (png(_enlarged(image)) for image in chosen)


def _enlarged(image):
    return Image.fromarray(image).resize((32, 32), Image.Resampling.BICUBIC)
