"""Files of flags, recipes among them, which have names: where they are, and what they say."""

import os
import pathlib

from mocotf.errors import UserError
from mocotf.settings import AUTO
from mocotf.settings import NONE
from mocotf.training.flags_file import LINE
from mocotf.training.flags_file import flag_lines

PACKAGE = pathlib.Path(__file__).parents[1]
# In the package as it is installed, beside it in a checkout, and, which counts most, where the command
# is typed.
RECIPES = (PACKAGE / "recipes", PACKAGE.parent / "flags", pathlib.Path("flags"))


def read_recipe(name):
    """Returns name → text of the settings that a recipe has; None where `name` stands for no file.

    Args:
        name: auto, none, the name of a file in flags/, as v2, or the path of one.

    Raises:
        UserError: there is no such recipe, or it cannot be read.
    """
    path = file_named("recipe", name)
    if not path:
        return None
    pairs = (line.lstrip("-").partition("=") for line, _ in lines_of(path))
    # As on a command line a flag without a value is a switch.
    found = {name: text if equals else "true" for name, equals, text in pairs}
    return {name: text for name, text in found.items() if name != "recipe" or text in (AUTO, NONE)}


def file_named(flag, name):
    """Returns the path of the flag file that --flagfile or --recipe names; "" where it names none.

    Raises:
        UserError: there is no such recipe.
    """
    if flag != "recipe" or name in (AUTO, NONE):
        return name if flag == "flagfile" else ""
    known = known_recipes()
    if name not in known and not os.path.isfile(name):
        raise UserError(
            f"--recipe={name}: expected {AUTO}, {NONE}, a file, or one of {', '.join(sorted(known))}"
        )
    return str(known.get(name, name))


def known_recipes():
    """Returns name → path of the files of flags that --recipe has a name for."""
    return {path.stem: path for folder in RECIPES for path in sorted(folder.glob("*.cfg"))}


def lines_of(path, outer=()):
    """Yields (flag, where it stands) of a flag file and of those that it names.

    Raises:
        UserError: a file cannot be read, or a line of one is no flag.
    """
    path = os.path.expanduser(path)
    try:
        lines = flag_lines(path)
    except (OSError, UnicodeDecodeError) as error:
        what = getattr(error, "strerror", None) or error
        raise UserError(
            f"{path}: {what}; expected a file of flags; of mocotf's own there are --recipe="
            f"{', '.join(sorted(known_recipes()))}"
        ) from error
    for number, line in lines:
        origin = f"{path}, line {number}"
        if not LINE.fullmatch(line):
            raise UserError(f"{origin}: {line!r}: expected --NAME=VALUE")
        name, _, value = line.lstrip("-").partition("=")
        if name != "flagfile":
            yield line, origin
        inner = os.path.expanduser(file_named(name, value))
        if inner and inner not in (path, *outer):
            yield from lines_of(inner, (path, *outer))
