"""The source of images that a name stands for."""

from mocotf.data.sources.folder import Folder
from mocotf.data.sources.groups import Groups
from mocotf.data.sources.hugging_face import HuggingFace
from mocotf.data.sources.patches import Patches
from mocotf.data.sources.tfds import TFDS
from mocotf.data.sources.tfrecord import TFRecords


def open_source(settings, pairs=None):
    """Returns the `Source` that `DataSettings` describe.

    Args:
        settings: `DataSettings`.
        pairs: `PairSettings`, by which it is to have groups; None: it needs none.

    Raises:
        UserError: it is not there, has no images, or not the groups.
    """
    source = _opened(settings)
    source.upright, source.max_pixels = settings.upright, settings.max_pixels
    if pairs and pairs.positives == "group":
        source.groups = Groups(source.group_numbers(pairs.group_by), pairs.max_gap)
    return source


def _opened(settings):
    if settings.dataset == "patches":
        return Patches()
    if settings.dataset == "folder":
        return Folder(settings.data_dir, settings.files)
    if settings.dataset == "hf":
        return HuggingFace(settings.data_dir, settings.image_column, settings.label_column)
    if settings.dataset == "tfrecord":
        return TFRecords(settings.data_dir, num_images=settings.num_images)
    return TFDS(settings.dataset, settings.data_dir)
