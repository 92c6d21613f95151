"""What a user asked for, by flags or by arguments in Python."""

import dataclasses
import difflib
import os
from collections.abc import Mapping
from collections.abc import Set

from mocotf.errors import UserError
from mocotf.settings import settings_of


@dataclasses.dataclass(frozen=True)
class Asked:
    """The settings that a command has, and which of them a user chose.

    Attributes:
        values: name → value of all that the command has.
        given: names of those that the user gave, himself or by a recipe's file; the others are as the
            run has them that is resumed, or as by default.
        from_file: whether there was such a file.
    """

    values: Mapping[str, object]
    given: Set[str] = frozenset()
    from_file: bool = False

    def read(self, cls):
        """Returns the `Settings` of a class, held against each other.

        Raises:
            UserError: they contradict each other.
        """
        settings = self.unchecked(cls)
        settings.check(self.given)
        return settings

    def unchecked(self, cls):
        """Returns the `Settings` of a class, each by itself in its bounds."""
        return cls(**{name: self.values[name] for name in settings_of(cls)})


def declared_by(classes):
    """Returns name → `Setting` of all that `Settings` classes declare."""
    return {name: one for cls in classes for name, one in settings_of(cls).items()}


def asked_for(classes, keywords, *, recipe=None, saved=None, defaults=None):
    """Returns the `Asked` that keyword arguments make: what `command --NAME=VALUE …` is in Python.

    Args:
        classes: `Settings` classes of the command.
        keywords: name → value, or text, that the user gave.
        recipe: name → text of a recipe's file, which counts less; None for no file.
        saved: name → text of the run that is resumed, which counts still less; None for no run.
        defaults: name → value of settings that have a default of their own here.

    Raises:
        UserError: there is no such setting, or it cannot have this value.
    """
    declared = declared_by(classes)
    values = {name: one.default for name, one in declared.items()} | (defaults or {})
    for name, one in declared.items() if saved is not None else ():
        if not one.place:
            values[name] = _converted(name, saved.get(name), one.of_run)
    given = dict(_switch(*pair, declared) for pair in (recipe or {}).items()) | keywords
    for name, value in given.items():
        if name not in declared:
            raise UserError(f"{name}: no such setting; {_nearest(name, declared)}")
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        one = declared[name]
        values[name] = _converted(name, value, one.parse if isinstance(value, str) else one.check)
    return Asked(values, frozenset(given), recipe is not None)


def _switch(name, text, declared):
    """Returns a (name, text) of a recipe's file, of --noNAME that it is false."""
    of = name.removeprefix("no")
    if name not in declared and of in declared and declared[of].kind is bool:
        return of, "false"
    return name, text


def _converted(name, value, convert):
    try:
        return convert(value)
    except ValueError as error:
        raise UserError(f"{name}={value!r}: {error}") from error


def _nearest(name, declared):
    near = difflib.get_close_matches(name, declared, n=1)
    return f"did you mean {near[0]}?" if near else "docs/reference/settings.md has all there are"
