"""Columns of a table with pictures: which one has these, which one labels, and of which classes."""

import numpy as np

from mocotf.errors import UserError

# Names in lower case; of several that are there, the first in this order.
IMAGES = ("image", "img", "picture", "photo", "jpg", "jpeg", "png", "webp", "image_bytes", "bytes")
LABELS = ("label", "labels", "class", "cls", "fine_label", "category", "target", "coarse_label")


def image_column(flag, features, wanted=None):
    """Returns the name of the column of images: of bytes, or of structs that have a field `bytes`.

    Args:
        flag: what messages begin with, as "--data_dir=DIR".
        features: a `datasets.Features`.
        wanted: the name, if it was given.

    Raises:
        UserError: there is none, several may be, or the one that was given is none.
    """
    known = [field.name for field in features.arrow_schema if _holds_bytes(field.type)]
    if not known:
        raise UserError(
            f"{flag}: no column of images among {', '.join(features)}; expected one of encoded images, "
            "as bytes or as the feature Image"
        )
    if wanted and wanted not in known:
        raise UserError(
            f"--image_column={wanted}: is no column of images in {flag}; expected {' or '.join(known)}"
        )
    name = wanted or _first_of(IMAGES, known) or (known[0] if len(known) == 1 else None)
    if not name:
        raise UserError(
            f"{flag}: columns {', '.join(known)} may all be images; expected one; try "
            f"--image_column={known[0]}"
        )
    return name


def label_column(flag, features, wanted=None):
    """Returns the name of the column of labels, integers or texts; None if there is none.

    It is one of a name in `LABELS`, or else the only one that is a ClassLabel. Arguments as of
    `image_column`.

    Raises:
        UserError: the one that was given is none.
    """
    known = [field.name for field in features.arrow_schema if _holds_labels(field.type)]
    if wanted and wanted not in known:
        raise UserError(
            f"--label_column={wanted}: is no column of labels in {flag}; expected one of integers or "
            f"texts: {', '.join(known) or 'there is none'}"
        )
    named = [name for name in known if names_of(features[name])]
    return wanted or _first_of(LABELS, known) or (named[0] if len(named) == 1 else None)


def names_of(feature):
    """Returns the names of the classes that a feature declares, a tuple; empty if it declares none."""
    return tuple(getattr(feature, "names", None) or ())


def classes_of(columns, names=()):
    """Returns (the names of the classes, the labels of all columns in a row, int32).

    A label is a place among the names, negative where there is none: where it is null, or a negative
    number. One class is as good as none: then there are no names, and no labels, `[0]`.

    Args:
        columns: `pyarrow.ChunkedArray`s of one type, integers or texts.
        names: of the classes whose numbers the columns have; without, the classes are the values.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    column = pa.chunked_array([chunk for column in columns for chunk in column.chunks], columns[0].type)
    if not names:
        values = pc.unique(column).drop_null()
        if not _is_text(values.type):
            values = values.filter(pc.greater_equal(values, 0))
        values = values.take(pc.sort_indices(values))
        names = tuple(map(str, values.to_pylist()))
        column = pc.index_in(column, value_set=values)
    if len(names) < 2:
        return (), np.zeros([0], np.int32)
    return names, pc.fill_null(column, -1).to_numpy().astype(np.int32)


def _first_of(names, known):
    lower = {name.lower(): name for name in reversed(known)}
    return next((lower[name] for name in names if name in lower), None)


def _holds_bytes(kind):
    import pyarrow as pa

    if pa.types.is_struct(kind):
        place = kind.get_field_index("bytes")
        return place >= 0 and _holds_bytes(kind.field(place).type)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _holds_labels(kind):
    import pyarrow as pa

    return pa.types.is_integer(kind) or _is_text(kind)


def _is_text(kind):
    import pyarrow as pa

    return pa.types.is_string(kind) or pa.types.is_large_string(kind)
