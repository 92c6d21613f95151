"""The patches that mocotf embeds, as files: what --dataset=patches trains on, and asks about."""

from PIL import Image

from mocotf.data.sources.patches import Patches
from tools.pictures.encoded import png


def patches():
    """Yields (train/CLASS or test/CLASS, contents of its PNG files)."""
    source = Patches()
    for folder, split in (("train", "bank"), ("test", "queries")):
        by_class = [[] for _ in source.class_names]
        for handle, label in source.evaluation(split).as_numpy_iterator():
            by_class[label].append(handle)
        for name, handles in zip(source.class_names, by_class, strict=True):
            images = (source.load(handle).numpy() for handle in handles)
            yield f"{folder}/{name}", (png(Image.fromarray(image)) for image in images)
