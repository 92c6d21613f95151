"""The parts of a data set on disk: of Parquet files, or as Hugging Face's datasets saved it."""

import functools
import glob
import os
import re

from mocotf.data.places.parts import HELD_OUT
from mocotf.data.places.parts import TRAIN
from mocotf.errors import UserError
from mocotf.json_files import read_json

SAVED, SAVED_PARTS = "state.json", "dataset_dict.json"  # what save_to_disk writes
EXPECTED = "a .parquet file, a folder or a pattern of such files, or a folder that datasets saved"


class ParquetPart:
    """Parquet files, one after the other.

    Attributes:
        paths: of those that have rows.
        counts: rows of each.
        features: the columns, a `datasets.Features`.
    """

    def __init__(self, paths):
        import datasets
        import pyarrow.parquet

        counts = [_rows_of(path) for path in paths]
        self.paths = [path for path, count in zip(paths, counts, strict=True) if count]
        self.counts = list(filter(None, counts))
        self.features = datasets.Features.from_arrow_schema(pyarrow.parquet.read_schema(paths[0]))

    def images(self, name):
        """Returns a column, mapped from the Arrow file in datasets' cache, which is made if need be:
        Parquet has no way to one row but through the hundreds that are compressed with it."""
        import datasets

        paths = [glob.escape(path) for path in self.paths]  # it takes them for patterns
        return datasets.Dataset.from_parquet(paths, columns=[name]).data.column(name)

    def labels(self, name):
        """Returns a column, in memory."""
        import pyarrow.parquet

        kind, chunks = self.features.arrow_schema.field(name).type, []
        for path in self.paths:
            with pyarrow.parquet.ParquetFile(path) as file:
                chunks += file.read([name], use_threads=False)[name].cast(kind).chunks
        return pyarrow.chunked_array(chunks, kind)


class SavedPart:
    """A folder that `datasets.Dataset.save_to_disk` wrote; attributes as of `ParquetPart`: the folder
    stands for all of its files."""

    def __init__(self, folder):
        import datasets

        self._dataset = datasets.load_from_disk(folder)
        self.paths, self.counts = [folder], [len(self._dataset)]
        self.features = self._dataset.features

    def images(self, name):
        """Returns a column, mapped from the files."""
        return self._dataset.data.column(name)

    labels = images


def parts_of(place):
    """Returns name → function that opens a part, of which the first is to be trained on and the others
    may be held out, in the order in which they come into question; and the names of what is neither.

    Args:
        place: `EXPECTED`.

    Raises:
        UserError: it is nothing of that.
    """
    if os.path.exists(os.path.join(place, SAVED_PARTS)):
        names = read_json(os.path.join(place, SAVED_PARTS), {"splits": list})["splits"]
        parts = {name: functools.partial(SavedPart, os.path.join(place, name)) for name in names}
    elif os.path.exists(os.path.join(place, SAVED)):
        parts = {"train": functools.partial(SavedPart, place)}
    else:
        files = _parquet_files(place)
        parts = {name: functools.partial(ParquetPart, paths) for name, paths in files.items()}
    if not parts:
        raise UserError(f"--data_dir={place}: no table found; expected {EXPECTED}")
    first = next((name for name in TRAIN if name in parts), next(iter(parts)))
    order = [first, *(name for name in HELD_OUT if name in parts and name != first)]
    return {name: parts[name] for name in order}, [name for name in parts if name not in order]


def _rows_of(path):
    import pyarrow.parquet

    try:
        return pyarrow.parquet.read_metadata(path).num_rows
    except pyarrow.ArrowInvalid as error:  # which does not name the file
        raise ValueError(f"{path}: {error}") from error


def _parquet_files(place):
    """Returns name of a part → paths, sorted; without such a name in theirs, they are to be trained on.

    Hugging Face's hub has data/train-00000-of-00002.parquet, train/0000.parquet and the like.
    """
    if os.path.isfile(place):
        return {"train": [place]}
    if not os.path.isdir(place):
        paths = _files(place)
        return {"train": paths} if paths else {}
    parts = {}
    for path in _files(os.path.join(glob.escape(place), "**", "*.parquet")):
        words = re.split(r"[^a-z0-9]+", os.path.relpath(path, place).lower())
        known = [word for word in reversed(words) if word in (*TRAIN, *HELD_OUT)]
        parts.setdefault(known[0] if known else "", []).append(path)
    others = parts.pop("", [])
    if others and not any(name in parts for name in TRAIN):
        return {"train": others, **parts}
    return parts | ({"others": others} if others else {})


def _files(pattern):
    # Spark calls folders so, too.
    return [path for path in sorted(glob.glob(pattern, recursive=True)) if os.path.isfile(path)]
