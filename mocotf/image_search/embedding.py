"""Image files to vectors."""

import hashlib
import os

import keras
import numpy as np
import tensorflow as tf

from mocotf import terminal
from mocotf.data.bad_images import BadImages
from mocotf.data.sources.image_files import files_under
from mocotf.data.views.formats import MAX_PIXELS
from mocotf.data.views.formats import expected
from mocotf.errors import UserError
from mocotf.evaluation.knn import Neighbours
from mocotf.files import PathLike
from mocotf.files import path_of
from mocotf.files import printable
from mocotf.interactive import shown
from mocotf.nn.plain import OUTPUTS


@shown()
def embed_folder(
    encoder: keras.Model,
    folder: PathLike,
    output: str = "embedding",
    batch_size: int = 64,
    *,
    upright: bool = False,
    channels: int | None = None,
    max_pixels: int = MAX_PIXELS,
) -> tuple[list[str], np.ndarray]:
    """Returns the vectors of all images under a folder; those that do not decode are named in a warning
    and left out.

    Args:
        encoder: a model as `mocotf.load_encoder` returns.
        folder: searched recursively for image files.
        output: "features" or "embedding", see `mocotf.load_encoder`.
        batch_size: images encoded at a time.
        upright: turn images as their EXIF says, as for a run of --upright.
        channels: of images that are not RGB, as for a run of --channels; None: as many as the encoder
            takes, three of which are taken for RGB.
        max_pixels: of an image; larger ones do not decode, see `DataSettings`.

    Returns:
        (names, vectors): paths below the folder, a list of str, and float32 `[N, D]`.

    Raises:
        UserError: there is no folder, no image in it that decodes, or no such output.

    Examples:
        >>> encoder = mocotf.load_encoder("runs/mine")
        >>> names, vectors = mocotf.embed_folder(encoder, "my_photos")
        >>> vectors.dtype.name, len(names) == len(vectors)
        ('float32', True)
        >>> nearest = names[np.argsort(-vectors[0] @ vectors.T)[1]]  # to the first picture
    """
    if output not in OUTPUTS:
        raise UserError(f"output={output}: expected {' or '.join(OUTPUTS)}")
    folder, channels = path_of(folder), channels or channels_of(encoder)
    how = {"upright": upright, "channels": channels, "max_pixels": max_pixels}
    with terminal.phase(f"reading {printable(folder)}"):
        files = files_under(folder, **how)
    bad = BadImages(root=files.root)
    batches = []
    with terminal.phase("embedding", len(files)) as progress:
        for names, vectors, progress.done in embed(encoder, files, output, batch_size, bad):
            batches.append((names, vectors))
    names = [name for batch, _ in batches for name in batch]
    if not names:
        raise UserError(f"{folder}: no image decodes; expected {expected(channels)}")
    return names, np.concatenate([vectors for _, vectors in batches])


def channels_of(encoder):
    """Returns the channels of the images that an encoder takes; None where they are taken for RGB."""
    channels = encoder.input_shape[-1]
    return None if channels == 3 else channels


def embed(encoder, files, output, batch_size, bad_images, first=0):
    """Yields the vectors of image files batch by batch.

    Args:
        encoder, output: as of `embed_folder`.
        files: an `ImageFiles`.
        batch_size: images encoded at a time.
        bad_images: a `BadImages`, told which do not decode.
        first: number of the file to begin with, a multiple of `batch_size`.

    Yields:
        (names, vectors, seen): of the files that decode, a list of str and float32 `[m, D]`; and the
        number of files looked at, from the first of all on.
    """
    size = encoder.input_shape[1]

    @tf.function(input_signature=[tf.TensorSpec(encoder.input_shape)], autograph=False)
    def encode(images):
        return encoder(images, training=False)[output]

    seen = first
    for names, decoded, images in files.views(size, batch_size, first):
        names, decoded = names.numpy(), decoded.numpy()
        seen += len(names)
        if not decoded.all():
            bad_images.report(names[~decoded])
        yield [os.fsdecode(name) for name in names[decoded]], encode(images).numpy()[decoded], seen


def fingerprint(model):
    """Returns a text that stands for the weights of a model: other weights have another."""
    digest = hashlib.sha256()
    for variable in model.variables:
        digest.update(np.ascontiguousarray(variable.numpy()).tobytes())
    return digest.hexdigest()


def nearest(blocks, queries, k):
    """Returns the most similar of all vectors to each query, by cosine similarity.

    Args:
        blocks: of the vectors, an iterable of float32 `[n, D]`, of any length; N are all together.
        queries: float32 `[M, D]`.
        k: how many; all where there are fewer.

    Returns:
        (places, similarities): int `[M, k]`, counted through all blocks, and float32 `[M, k]`, the most
        similar first; of equal ones the first.
    """
    neighbours = Neighbours(queries, k)
    for block in blocks:
        neighbours.add(block)
    similarities, places = neighbours.found()
    return places, similarities
