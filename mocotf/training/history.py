"""How a run was changed since it was begun: comment lines of its flags.cfg, beside the settings that
hold now, so that one write changes both."""

import json

from mocotf.errors import UserError
from mocotf.json_files import sealed
from mocotf.json_files import unsealed

MARK = "# changed "


def change_line(change):
    """Returns the comment that stands for a change, see `read_history`; it has its own checksum."""
    return MARK + json.dumps(sealed(change, "crc32"))


def read_history(path):
    """Returns the changes of the run whose flags.cfg is at `path`, the first one first.

    A change is {"step": first step that it holds for, "time": seconds since 1970, "changes": name →
    [old, new]}; names of settings begin with --, others are of facts, as replicas.

    Raises:
        UserError: a line is no change, or is damaged.
    """
    with open(path, encoding="utf-8-sig", errors="replace") as lines:
        told = [(number, line) for number, line in enumerate(lines, 1) if line.startswith(MARK)]
    found = []
    for number, line in told:
        try:
            change = unsealed(json.loads(line.removeprefix(MARK)))
            changes = {name: [old, new] for name, (old, new) in change["changes"].items()}
            found.append({"step": change["step"], "time": change["time"], "changes": changes})
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise UserError(
                f"{path}, line {number}: {error}; expected a change of the run in JSON; remove it"
            ) from error
    return found


def words(changes):
    """Returns what name → (old, new) says, for people."""
    return ", ".join(f"{name}={shown(old)} to {shown(new)}" for name, (old, new) in changes.items())


def shown(value):
    """Returns the text of a setting's or a fact's value."""
    return "(unset)" if value is None else str(value)
