"""Files of JSON that carry a digest of themselves, so that a reader sees when a bit has changed."""

import hashlib
import json
import os
import zlib

from mocotf.errors import UserError
from mocotf.errors import first_line
from mocotf.files import atomic_write
from mocotf.files import locked_folder
from mocotf.files import read_file

KEY = "digest"  # the last key
KINDS = {
    "crc32": lambda content: f"{zlib.crc32(content):08x}",  # for short ones, of which there are many
    "sha256": lambda content: hashlib.sha256(content).hexdigest(),
}
# What to do about a damaged file of a run that is not to be had back.
REMOVED = {
    "facts.json": "the run goes on with whatever data and devices there are then",
    "recipe.json": "then --minutes is not taken when the run is resumed",
    "results.json": "the command that made it, once more, writes it",
    "classes.json": "the command that made it, once more, writes it",
    "trackers.json": "then a tracker shows the run once more, as another",
    "evaluation.json": "its numbers are then to be measured once more",
}


def write_json(path, value):
    """Writes a dictionary as `atomic_write` does, for people and programs to read, with its digest."""
    atomic_write(path, json.dumps(sealed(value), indent=2) + "\n")


def read_json(path, types=None):
    """Returns the dictionary in a JSON file, without its digest; an empty one where there is no file.

    Args:
        path: of the file.
        types: name → type, or union of some, that `isinstance` knows; None is that of what is absent.

    Raises:
        UserError: it holds something else, or not what was written.
    """
    if not os.path.exists(path):
        return {}
    content = read_file(path)
    try:
        value = unsealed(json.loads(content.decode("utf-8-sig")))
        for name, kind in (types or {}).items():
            if not isinstance(value.get(name), kind):
                raise ValueError(f"its {name!r} is {value.get(name, 'absent')!r}")
    except (ValueError, RecursionError) as error:
        removed = REMOVED.get(os.path.basename(path), "then what it held is lost")
        raise UserError(
            f"{path}: is damaged, or was changed: {first_line(error)}; restore it, or remove it: "
            + removed
        ) from error
    return value


def update_json(path, values):
    """Writes name → value into the dictionary of a JSON file that several processes add to: none of
    them loses what another has written.

    Raises:
        UserError: it holds something else.
    """
    with locked_folder(os.path.dirname(path) or "."):
        write_json(path, read_json(path) | values)


def sealed(value, kind="sha256"):
    """Returns a dictionary that JSON can hold with its digest, "KIND:HEXADECIMAL", as the last key.

    Args:
        value: the dictionary.
        kind: of `KINDS`.
    """
    return value | {KEY: digest(kind, json.dumps(value).encode())}


def unsealed(value):
    """Returns the dictionary that `sealed` was given, of what was read; of one without a digest, as
    earlier releases wrote them, all.

    Raises:
        ValueError: it is no dictionary, or not what was written.
    """
    if not isinstance(value, dict):
        raise ValueError("is no object")
    rest = {name: one for name, one in value.items() if name != KEY}
    if KEY not in value:
        # Of a digest the name may be what is damaged.
        lost = any(isinstance(one, str) and one.startswith(tuple(KINDS)) for one in rest.values())
    else:
        kind = str(value[KEY]).partition(":")[0]
        lost = kind not in KINDS or value[KEY] != digest(kind, json.dumps(rest).encode())
    if lost:
        raise ValueError("its content is not that of its digest")
    return rest


def digest(kind, content):
    """Returns that of bytes, a text; `kind` is one of `KINDS`."""
    return f"{kind}:{KINDS[kind](content)}"
