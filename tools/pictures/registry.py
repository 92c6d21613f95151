"""Collections of real pictures, by name, and how a folder of one is made."""

import hashlib
import itertools
import os
from collections.abc import Callable
from typing import NamedTuple

from mocotf.data.places.directory import list_images
from mocotf.data.sources.folder import Folder
from mocotf.errors import UserError
from mocotf.files import atomic_path
from tools.pictures import archive
from tools.pictures import debian
from tools.pictures import embedded
from tools.pictures import walks


class Places(NamedTuple):
    """Where pictures are taken from: the zip of CIFAR-10's, the folder of unpacked packages."""

    zip: str
    packages: str


class Collection(NamedTuple):
    """A collection: `folders(places)` yields (folder, contents of its files), in order."""

    what: str
    folders: Callable
    ending: str


def _cifar10(what, *cut):
    def folders(places):
        return archive.slices(places.zip, *cut)

    return Collection(f"CIFAR-10, 32 x 32 pixels: {what}", folders, ".jpg")


COLLECTIONS = {
    "cifar10": Collection(
        "CIFAR-10, 32 x 32 pixels: all of it",
        lambda places: archive.with_test(places.zip, 5000, 1000),
        ".jpg",
    ),
    "cifar10_10x500": _cifar10("the first 500 of each class", None, 0, 500),
    "cifar10_10x1000": _cifar10("the first 1,000 of each class", None, 0, 1000),
    "cifar10_10x2000": Collection(
        "CIFAR-10, 32 x 32 pixels: the first 2,000 of each class, and all 10,000 test pictures",
        lambda places: archive.with_test(places.zip, 2000, 1000),
        ".jpg",
    ),
    "cifar10_4x250": _cifar10(
        "250 others of four classes", ("airplane", "cat", "frog", "ship"), 600, 850
    ),
    "patches": Collection(
        "patches of 14 photographs of scikit-image's, 32 x 32 pixels",
        lambda places: embedded.patches(),
        ".png",
    ),
    "digits": Collection(
        "scikit-learn's hand-written digits, 8 x 8 pixels, enlarged to 32 x 32",
        lambda places: embedded.digits(),
        ".png",
    ),
    "walks": Collection(
        "sequences of 12 frames, 32 x 32 pixels, over 14 photographs of scikit-image's",
        lambda places: walks.walks(),
        ".png",
    ),
    "clipart": Collection(
        "drawings of six subjects, their long side up to 128 pixels, of Debian's openclipart-png",
        lambda places: debian.clip_art(places.packages),
        ".png",
    ),
    "photos": Collection(
        "tiles of 12 photographs, 240 x 240 pixels, of Debian's plasma-workspace-wallpapers",
        lambda places: debian.photographs(places.packages),
        ".jpg",
    ),
}


def make(name, folder, places, most=None):
    """Makes a folder of a collection, unless it is there; returns what is in it.

    Args:
        name: of the collection; of a folder that is there, any.
        folder: its sub-folders will be the classes, or train and test with the classes in them.
        places: `Places`.
        most: pictures of a sub-folder, its first; None: all.

    Returns:
        {"pictures": how many are trained on, "queries": how many kNN asks about, "classes": how many,
        "sha256": of all names and contents}.

    Raises:
        UserError: there is no such collection, or what it is made of is not there.
    """
    if not os.path.isdir(folder):
        if name not in COLLECTIONS:
            raise UserError(f"{name}: no such collection; expected one of {', '.join(COLLECTIONS)}")
        os.makedirs(os.path.dirname(os.path.abspath(folder)), exist_ok=True)
        with atomic_path(os.path.abspath(folder)) as partial:
            _write(COLLECTIONS[name], partial, places, most)
    return facts(folder)


def facts(folder):
    """Returns what is in a folder of pictures, see `make`."""
    source, digest = Folder(folder), hashlib.sha256()
    for path in list_images(folder):
        with open(path, "rb") as file:
            content = hashlib.sha256(file.read()).digest()
        digest.update(os.fsencode(os.path.relpath(path, folder)) + b"\n" + content)
    return {
        "pictures": source.size,
        "queries": source.evaluation_sizes[1],
        "classes": len(source.class_names),
        "sha256": digest.hexdigest(),
    }


def _write(collection, folder, places, most):
    for below, contents in collection.folders(places):
        os.makedirs(os.path.join(folder, below))
        for number, content in enumerate(itertools.islice(contents, most)):
            path = os.path.join(folder, below, f"{number:04}{collection.ending}")
            with open(path, "wb") as file:
                file.write(content)
