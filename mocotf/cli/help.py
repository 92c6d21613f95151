"""What --help says: a command's flags in groups, the first sentence of each; --helpfull: all of it."""

import shutil
import sys
import textwrap

from absl import flags

SHORT, FULL = ("-h", "-help", "--help", "--helpshort"), ("-helpfull", "--helpfull")
OWN = "This command"
FIRST = ("Recipe", "Data", "Views", "Method")  # then the mechanisms, by name
LAST = ("Optimisation", "Run", "Measurements", "Devices", OWN)
INDENT = 30
FILES = "--flagfile=FILE takes flags from a file, one a line; --recipe=NAME from one of mocotf's own."
MORE = "--helpfull says everything about each flag."


def asked(arguments):
    """Returns whether one of the arguments asks for help."""
    return any(argument in SHORT + FULL for argument in arguments)


def text(full):
    """Returns the help of the command that runs: what its module says, and its flags.

    Args:
        full: all that there is to say of a flag, and what values it takes.
    """
    main = sys.modules["__main__"]
    groups = {group: [] for group in FIRST}
    last = {group: [] for group in LAST}
    for flag in [
        *flags.FLAGS.get_key_flags_for_module(main),
        flags.FLAGS["json"],
        flags.FLAGS["quiet"],
    ]:
        group = getattr(flag, "group", OWN)
        (last if group in last else groups).setdefault(group, []).append(flag)
    parts = [(main.__doc__ or "").strip()]
    for group, members in (groups | last).items():
        if members:
            parts.append("\n".join([group, *(_entry(flag, full) for flag in members)]))
    return "\n\n".join([*parts, FILES + ("" if full else f" {MORE}")])


def _entry(flag, full):
    declared = getattr(flag, "setting", None)
    default = flag.default
    if declared and default is not None:
        default = declared.text(default)
    elif isinstance(default, list):
        default = ",".join(default)
    shown = "" if default in (None, False, "false", "") else f"={default}"
    words = flag.help if full else flag.help.partition(". ")[0].removesuffix(".") + "."
    if full and declared:
        words += f" Expected: {declared.expected}."
    width = min(110, shutil.get_terminal_size().columns)
    lines = textwrap.wrap(words, max(30, width - INDENT))
    head = f"  --{flag.name}{shown}"
    head = [head.ljust(INDENT) + lines.pop(0)] if len(head) < INDENT else [head]
    return "\n".join([*head, *(" " * INDENT + line for line in lines)])
