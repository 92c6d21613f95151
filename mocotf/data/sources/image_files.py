"""Image files in a fixed order, each once: what is embedded."""

import hashlib

import tensorflow as tf

from mocotf.data.batches import batches_of_files
from mocotf.data.places.directory import Named
from mocotf.data.places.parts import Parts
from mocotf.data.places.pictures import Pictures
from mocotf.data.places.survey import USE
from mocotf.data.pretraining import centre
from mocotf.data.views.formats import FORMATS
from mocotf.data.views.formats import MAX_PIXELS
from mocotf.data.views.orientation import decode_image
from mocotf.errors import UserError
from mocotf.tables import counted


class ImageFiles:
    """Image files by number.

    Args:
        tree: the `Tree` whose pictures they are.
        embedded: names of those not wanted, a set of bytes.
        upright: turn images as their EXIF says, a bool.
        channels: of images that are not RGB, see `Augmentation`.
        max_pixels: of an image, as `DataSettings` has it.

    Attributes:
        root: folder or address that names are relative to; None in an archive.
        left_out: a `LeftOut`, which counts those that are embedded too.
        digest: of all names, text: two lists of different names have different ones.
        wanted: of those wanted.
    """

    def __init__(self, tree, embedded=frozenset(), upright=False, channels=None, max_pixels=MAX_PIXELS):
        digest, known = hashlib.sha256(), 0

        def is_wanted(found):
            nonlocal known
            digest.update(found.name + b"\0")
            known += found.name in embedded
            return found.name not in embedded

        self._upright, self._channels = upright, channels
        self._how = {"channels": channels, "max_pixels": max_pixels}
        self._pictures = Pictures([(tree, "")], is_wanted)
        self.root, self.left_out = None if tree.archive else tree.name, self._pictures.left_out
        self.left_out.embedded = known
        self.digest, self.wanted = digest.hexdigest(), self._pictures.names_digest()

    def __len__(self):
        return len(self._pictures)

    def found(self):
        """Returns what there is, a line for people; it looks into some files."""
        seen = self._pictures.survey(len(self))
        rotation = seen.rotation(USE[self._upright])
        kinds = f" ({seen.kinds})" if len(self) else ""
        parts = [f"{counted(len(self), 'image')}{kinds}", str(self.left_out), rotation]
        return "; ".join(filter(None, parts))

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
            `[n, size, size, C]`, RGB in 0…255, zeros where one did not).
        """
        shape = [size, size, self._channels or 3]

        def view(_, number):
            encoded = self._pictures.read(number)
            return (centre(decode_image(encoded, self._upright, **self._how), size),)

        def whole(names, places, images):
            n, at = tf.size(names), places[:, None]
            decoded = tf.scatter_nd(at, tf.ones_like(places), [n]) > 0
            images = tf.cond(
                tf.size(places) == n, lambda: images, lambda: tf.scatter_nd(at, images, [n, *shape])
            )
            return names, decoded, tf.ensure_shape(images, [None, *shape])

        numbers = tf.data.Dataset.range(first, len(self))
        name, blanks = self._pictures.name, (tf.zeros([0, *shape]),)
        pairs = numbers.map(lambda number: (number, number))
        made = batches_of_files(pairs, batch_size, view, blanks, name, overlap=False)
        both = tf.data.Dataset.zip(numbers.map(name).batch(batch_size), made)
        views = both.map(lambda names, made: whole(names, made[0], made[2]))
        return views.prefetch(tf.data.AUTOTUNE)


def files_named(paths, **how):
    """Returns the `ImageFiles` of paths, an iterable of text; `how`: more arguments of it."""
    return ImageFiles(Named(paths), **how)


def files_under(place, embedded=frozenset(), **how):
    """Returns the `ImageFiles` of a place, recursively, in order of name.

    Args:
        place: a folder, an archive, or an address.
        embedded: as of `ImageFiles`.
        how: more arguments of it.

    Raises:
        UserError: there is no such place, it is several, or no image is in it, wanted or not.
    """
    trees = Parts(place).trees
    if len(trees) > 1:
        raise UserError(f"--data_dir={place}: {len(trees)} places; expected one; make an index of each")
    files = ImageFiles(trees[0], embedded, **how)
    if not len(files) and not files.left_out.embedded:
        raise UserError(
            f"--data_dir={place}: no images found; expected {FORMATS}, in any sub-folder"
            + f"; {files.left_out}" * bool(str(files.left_out))
        )
    return files
