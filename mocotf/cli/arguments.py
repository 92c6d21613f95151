"""The arguments of a command: those typed, those of flag files, and those of the run that it resumes.

What is typed counts more than what a --flagfile says, wherever that stands; and what is given in one of
these ways more than what the run was begun with.
"""

import contextlib
import os
import re

from absl import flags

from mocotf.api.recipe_files import file_named
from mocotf.api.recipe_files import lines_of
from mocotf.errors import UserError
from mocotf.settings import AUTO
from mocotf.settings import NONE
from mocotf.training.flags_file import FLAGS_FILE
from mocotf.training.flags_file import accept_flags
from mocotf.training.flags_file import is_run
from mocotf.training.flags_file import read_flags

TYPED = "typed"

_origins = {}  # name of a flag → where it was given
_files = []  # that were named, of flags


def expand(argv):
    """Returns the arguments with flag files replaced by what they say, in front of what is typed.

    Raises:
        flags.Error: a file cannot be read, or a line of one is no flag.
    """
    _origins.clear()
    _files.clear()
    command, *left = argv
    typed, from_files = [], []
    while left and left[0] != "--":
        argument = left.pop(0)
        name, equals, value = argument.lstrip("-").partition("=")
        if name not in ("flagfile", "recipe") or not argument.startswith("-"):
            typed.append(argument)
            continue
        value = value if equals or not left else left.pop(0)
        if name == "flagfile" and not value:
            raise flags.Error("--flagfile=: names no file; expected the path of one")
        if _is_flag(name, value):
            typed.append(f"--recipe={value}")
        with _as_flag_error():
            if path := file_named(name, value):
                _files.append(path)
                for line, origin in _lines(path):
                    from_files.append(line)
                    _origins[_name(line)] = origin
    _origins.update((_name(argument), TYPED) for argument in typed if argument.startswith("-"))
    return [command, *map(_at_home, [*from_files, *typed]), *left]


def accept_changed(folder):
    """Takes the flags of a run, if the folder has one, as they are now.

    Raises:
        flags.Error: its flags.cfg cannot be read or written.
    """
    if is_run(folder):
        with _as_flag_error():
            accept_flags(os.path.join(folder, FLAGS_FILE))


def of_run(folder):
    """Returns the arguments that stand for what a run directory was begun with; none where there is no
    run.

    Raises:
        flags.Error: a line of its flags.cfg is no flag, or no value of it.
    """
    if not is_run(folder):
        return []
    path = os.path.join(folder, FLAGS_FILE)
    with _as_flag_error():
        read_flags(path)
        lines = list(_lines(path))
    known = {}
    for line, origin in lines:
        name, _, text = line.lstrip("-").partition("=")
        if name not in flags.FLAGS:
            raise flags.Error(
                f"{origin}: {line}: this command has no such flag; expected a run of this command, or "
                "another --model_dir"
            )
        known[name] = text, origin
    found = []
    for name, one in _declared().items():
        text, origin = known.get(name, (None, path))
        try:
            text = one.saved(text)
        except ValueError as error:
            raise flags.Error(f"{origin}: --{name}={text}: {error}") from error
        if text is not None and not one.place:
            found.append(f"--{name}={text}")
    return found


def given():
    """Returns the names of the flags that were given, typed or by a flag file."""
    return _origins.keys()


def files():
    """Returns the paths of the flag files that were named."""
    return list(_files)


def in_words(message):
    """Returns what absl says of flags as we say it."""
    if missing := re.findall(r"Flag --(\w+) must have a value", message):
        *others, last = (f"--{name}" for name in missing)
        names = f"{', '.join(others)} and {last} are" if others else f"{last} is"
        return f"{names} missing; --help says what is expected"
    unknown = re.match(r"Unknown command line flag '(\w+)'(?:\. Did you mean: (.*?) \?)?", message)
    if unknown:
        near = unknown[2] and " or ".join(f"--{name}" for name in unknown[2].split(", "))
        return f"--{unknown[1]}: no such flag; " + (f"did you mean {near}?" if near else "see --help")
    return re.sub(r"^flag (--\w+)", r"\1", re.sub(r"^flag (--\w+)=None:", r"\1 is missing;", message))


def explain(message):
    """Returns a message with where the flags that it names were given, if a file gave one of them."""
    names = dict.fromkeys(map(_name, re.findall(r"--\w+", message)))
    known = {name: _origins[name] for name in names if name in _origins}
    if set(known.values()) <= {TYPED}:
        return message
    return f"{message} ({'; '.join(f'--{name}: {origin}' for name, origin in known.items())})"


@contextlib.contextmanager
def _as_flag_error():
    try:
        yield
    except UserError as error:
        raise flags.Error(str(error)) from error


def _at_home(argument):
    """Returns an argument with the ~ that its value begins with replaced, as few shells do there."""
    flag, equals, value = argument.partition("=")
    if argument.startswith("-"):
        return flag + equals + os.path.expanduser(value)
    return os.path.expanduser(argument)


def _declared():
    """Returns name → `Setting` of the flags that are made of one."""
    known = {name: getattr(flags.FLAGS[name], "setting", None) for name in flags.FLAGS}
    return {name: one for name, one in known.items() if one}


def _name(argument):
    name = argument.lstrip("-").partition("=")[0]
    return name if name in flags.FLAGS else name.removeprefix("no")


def _is_flag(name, value):
    """Returns whether --NAME=VALUE says more than which file to read: --recipe does to `train`."""
    return name != "flagfile" and (name != "recipe" or name in flags.FLAGS or value in (AUTO, NONE))


def _lines(path):
    """Yields what `lines_of` does, but what only names a file."""
    for line, origin in lines_of(path):
        name, _, value = line.lstrip("-").partition("=")
        if _is_flag(name, value):
            yield line, origin
