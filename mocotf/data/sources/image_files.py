"""Image files in a fixed order, each once: what is embedded."""

import hashlib
import os

import tensorflow as tf

from mocotf.data.batches import PARALLEL
from mocotf.data.pretraining import centre
from mocotf.data.sources.listing import LeftOut
from mocotf.data.sources.listing import Listing
from mocotf.data.sources.listing import images_under
from mocotf.data.sources.survey import USE
from mocotf.data.sources.survey import survey
from mocotf.data.views.decode import FORMATS
from mocotf.data.views.decode import or_else
from mocotf.data.views.orientation import decode_image
from mocotf.errors import UserError


class ImageFiles:
    """Image files by number.

    Args:
        root: folder that names are relative to.
        names: of the files, an iterable of bytes, read once.
        upright: turn images as their EXIF says, a bool.

    Attributes:
        root: as given.
        left_out: a `LeftOut`.
        digest: of the names, text: two lists of different names have different ones.
    """

    def __init__(self, root, names, left_out=None, upright=False):
        digest = hashlib.sha256()

        def noted():
            for name in names:
                digest.update(name + b"\0")
                yield name

        self.root, self.left_out, self._upright = root, left_out or LeftOut(), upright
        self._names = Listing(noted())
        self.digest = digest.hexdigest()

    def __len__(self):
        return len(self._names)

    def found(self):
        """Returns what there is, a line for people; it looks into some files."""
        folder = os.path.join(os.fsencode(self.root), b"")
        seen = survey(lambda number: folder + self._names[number].numpy(), len(self))
        rotation = seen.rotation(USE[self._upright])
        images = f"{len(self):,} images ({seen.kinds})"
        return "; ".join(filter(None, [images, str(self.left_out), rotation]))

    # Its functions are graphs as they are.
    @tf.autograph.experimental.do_not_convert
    def views(self, size, batch_size, first=0):
        """Returns the finite dataset of the images' centres, as evaluation has them.

        A batch has the same images whether or not some do not decode, and wherever `first` was, if that
        is a multiple of `batch_size`.

        Args:
            size: side of a view, pixels.
            batch_size: images a batch; the last may be smaller.
            first: number of the image that comes first.

        Returns:
            Dataset of (names, string `[n]`; which of them decoded, bool `[n]`; images, float32
            `[n, size, size, 3]` in 0…255, zeros where one did not).
        """
        folder, blank = os.path.join(os.fsencode(self.root), b""), tf.zeros([size, size, 3])

        def view(number):
            name = self._names[number]
            path = tf.strings.join([folder, name])

            def make():
                return centre(decode_image(tf.io.read_file(path), self._upright), size)

            return name, *or_else(make, blank)

        numbers = tf.data.Dataset.range(first, len(self))
        return numbers.map(view, **PARALLEL).batch(batch_size).prefetch(tf.data.AUTOTUNE)


def files_under(folder, upright=False):
    """Returns the `ImageFiles` under a folder, recursively, in order of name.

    Args:
        folder: its path.
        upright: see `ImageFiles`.

    Raises:
        UserError: there is no folder, or no image in it.
    """
    if not os.path.isdir(folder):
        raise UserError(f"{folder}: no such folder; expected a folder of images")
    left_out = LeftOut()
    files = ImageFiles(folder, images_under(folder, left_out), left_out, upright)
    if not len(files):
        raise UserError(
            f"{folder}: no images found; expected {FORMATS}, in any sub-folder"
            + f"; {left_out}" * bool(str(left_out))
        )
    return files
