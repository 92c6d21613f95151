"""Folders at an address: of TensorFlow's file systems, and of fsspec's."""

import os

import tensorflow as tf

from mocotf import extras
from mocotf.data.places.members import Members
from mocotf.data.places.tree import Found
from mocotf.errors import UserError
from mocotf.errors import first_line

SEPARATOR = "://"


class Remote(Members):
    """All files under an address, as gs://bucket/photos.

    Args:
        url: its.

    Raises:
        UserError: it does not answer, or nothing here knows how to ask.
    """

    def __init__(self, url):
        url = url.rstrip("/")
        self.plain = is_plain(url)
        try:
            names = _walk(url) if self.plain else _find(url)
            names = [os.fsencode(name) for name in names]
        except UserError:
            raise
        except Exception as error:  # each file system has its own
            raise UserError(
                f"{url}: {first_line(error)}; expected the address of a folder; some kinds need "
                "fsspec's package for them, as s3fs"
            ) from error
        super().__init__(url, {name: Found(name) for name in names})

    def read(self, path, spot):
        return read(path)


def is_url(path):
    """Returns whether a path, text or bytes, is an address."""
    return SEPARATOR in os.fsdecode(path)


def is_plain(path):
    """Returns whether TensorFlow's own `read_file` reads a path, or an address."""
    scheme, separator, _ = os.fsdecode(path).partition(SEPARATOR)
    return not separator or scheme in tf.io.gfile.get_registered_schemes()


def read(path):
    """Returns the bytes of a file of this machine, or at an address.

    Args:
        path: its, text or bytes.
    """
    if is_plain(path):
        return tf.io.read_file(os.fsencode(path)).numpy()
    system, inner = _system(os.fsdecode(path))
    return system.cat_file(inner)


def why_unreadable(url):
    """Returns why an address cannot be read now, a line; None if it can, or nothing is there."""
    try:
        read(url)
    except (FileNotFoundError, tf.errors.NotFoundError):
        return None
    except Exception as error:
        return first_line(error)
    return None


def _walk(url):
    # Of a folder that is not there the walk is empty.
    tf.io.gfile.listdir(url)
    for folder, _, names in tf.io.gfile.walk(url):
        inner = folder.rstrip("/")[len(url) :].lstrip("/")
        yield from (os.path.join(inner, name) for name in names)


def _find(url):
    system, root = _system(url)
    paths = system.find(root)
    if not paths:
        raise FileNotFoundError("nothing is there, or nothing answers")
    return [path[len(root) :].lstrip("/") for path in paths]


def _system(url):
    """Returns (fsspec's file system of an address, the path in it)."""
    return extras.require("fsspec", url).core.url_to_fs(url)
