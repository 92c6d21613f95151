"""Vectors of images in a file, with the names of the images and where both are from."""

import dataclasses
import hashlib
import json
import re

import numpy as np

from mocotf import extras
from mocotf.data.places.tree import place_of
from mocotf.errors import UserError
from mocotf.errors import first_line
from mocotf.files import atomic_path
from mocotf.files import make_room
from mocotf.json_files import sealed
from mocotf.json_files import unsealed

CONTENT = "names and vectors"  # what their digest is called in the file's about
ROWS = 4096  # that a digest is made of at a time
ENDINGS = (".npz", ".parquet")
ABOUT = {"encoder", "weights", "output", "batch_size", "data_dir", "bad_images"}  # there always


@dataclasses.dataclass(frozen=True)
class Index:
    """Vectors of images.

    Attributes:
        names: of the images, paths below the folder that they are in, str.
        vectors: float32 `[N, D]`.
        about: what made them, a dictionary that JSON can hold, with `ABOUT` in it.
    """

    names: list[str]
    vectors: np.ndarray
    about: dict


def check_ending(path):
    """Refuses the name of a file that is none of `ENDINGS`, or that cannot be made here.

    Raises:
        UserError: so.
    """
    if not path.endswith(ENDINGS):
        raise UserError(f"{path}: expected a name that ends in {' or '.join(ENDINGS)}")
    if path.endswith(".parquet"):
        extras.require("pyarrow.parquet", f"{path}, which may end in .npz instead")


def merge(index, names, vectors, path):
    """Returns (names, vectors) of an index and of further images, in the order of `images_under`.

    Args:
        index: an `Index`.
        names, vectors: of images that are not in it, as `Index` has them.
        path: of a file for all vectors, so that they are not in memory twice.
    """
    if not names:
        return index.names, index.vectors
    every = index.names + names
    order = sorted(range(len(every)), key=lambda number: place_of(every[number]))
    rows = np.argsort(order)  # of each in `every`
    shape = len(every), index.vectors.shape[1]
    make_room(path, 4 * shape[0] * shape[1])
    merged = np.memmap(path, np.float32, "r+", shape=shape)
    merged[rows[: len(index.names)]] = index.vectors
    merged[rows[len(index.names) :]] = vectors
    return [every[number] for number in order], merged


def write_index(path, index):
    """Writes an `Index` to a file, in the place of one that is there; the ending says the format.

    `.npz`: arrays names `[N]`, vectors `[N, D]` and about, a JSON text. `.parquet`: columns name and
    vector, and about in the metadata under `mocotf`. About has digests of all.
    """
    content = _content_digest(index.names, index.vectors)
    about = np.array(json.dumps(sealed(index.about | {CONTENT: content})))
    with atomic_path(path) as partial:
        if path.endswith(".npz"):
            np.savez(
                partial,
                names=np.array(index.names),
                vectors=index.vectors,
                about=about,
            )
            return
        import pyarrow as pa  # `check_ending` has looked for it
        import pyarrow.parquet

        # Parquet knows UTF-8 only.
        names = [name.encode(errors="backslashreplace").decode() for name in index.names]
        flat = pa.array(np.ravel(index.vectors))
        vectors = pa.FixedSizeListArray.from_arrays(flat, index.vectors.shape[1])
        table = pa.table({"name": names, "vector": vectors})
        table = table.replace_schema_metadata({"mocotf": about.item()})
        pa.parquet.write_table(table, partial)


def read_index(path):
    """Returns the `Index` in a file.

    Raises:
        UserError: there is none, it is no such file, or damaged; code in it is not run.
    """
    check_ending(path)
    try:
        if path.endswith(".npz"):
            with np.load(path, allow_pickle=False) as file:
                return _whole(file["names"].tolist(), file["vectors"], str(file["about"]))
        import pyarrow.parquet

        table = pyarrow.parquet.read_table(path)
        column = table["vector"].combine_chunks()
        vectors = column.flatten().to_numpy().reshape(len(column), -1)
        names = [_as_it_was(name) for name in table["name"].to_pylist()]
        return _whole(names, vectors, table.schema.metadata[b"mocotf"])
    except Exception as error:  # what is no such file fails in many ways
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"{path}: cannot be read: {first_line(error)}; expected a file that mocotf.embed wrote; "
            "restore it, or embed again"
        ) from error


def _whole(names, vectors, about):
    """Returns the `Index` of what was read, `about` as the text that it was."""
    about = unsealed(json.loads(about))
    content = about.pop(CONTENT, None)  # None: of an earlier release
    if missing := ABOUT - set(about):
        raise ValueError(f"it does not say of what {', '.join(sorted(missing))} it is")
    if (vectors.dtype, vectors.ndim, len(vectors)) != (np.float32, 2, len(names)):
        raise ValueError("its vectors are not those of its names")
    if content is not None and content != _content_digest(names, vectors):
        raise ValueError("it is damaged: names and vectors are not those of their digest")
    return Index(names, vectors, about)


def _content_digest(names, vectors):
    found = hashlib.sha256()
    for name in names:
        found.update(name.encode(errors="backslashreplace") + b"\0")
    for first in range(0, len(vectors), ROWS):
        found.update(np.ascontiguousarray(vectors[first : first + ROWS], np.float32))
    return found.hexdigest()


def _as_it_was(name):
    """Returns the name of a file of which `write_index` has spelled out what is no UTF-8."""
    return re.sub(r"\\u(dc[89a-f][0-9a-f])", lambda found: chr(int(found[1], 16)), name)
