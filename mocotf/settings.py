"""Settings: what a user may choose, each declared once, as a field of a frozen dataclass.

    @dataclasses.dataclass(frozen=True)
    class Optimisation(Settings):
        GROUP = "Optimisation"
        lr: float = setting(0.03, "Learning rate.", low=0)

Flags, their help, flags.cfg and the checks of single values are made from the fields; Python code gives
the dataclass itself.
"""

import dataclasses
import functools
import math
import numbers
import types
import typing
from collections.abc import Mapping

from mocotf.errors import UserError

AUTO, NONE = "auto", "none"


class Switch:
    """The type of a setting that is True, False or left to the program, `AUTO`."""


WORDS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
KINDS = {int: "a whole number", float: "a finite number", str: "a text", bool: "true or false"}
NUMBERS = {int: numbers.Integral, float: numbers.Real}  # NumPy's, too
KINDS[Switch] = "auto, true or false"


@dataclasses.dataclass(frozen=True)
class Setting:
    """What is declared of a setting, beside its name.

    Attributes:
        default: the value where none is given.
        help: whole sentences, with the unit; the first one says what it is.
        low, high: bounds of a number, or of each in a list, inclusive.
        choices: the only values of a text; None for any.
        count: numbers in a list; None for any.
        neutral: it decides what is shown or kept, not what is computed: another value resumes a run.
        place: it says where a run is, or is of this start alone, not what the run is: it is not saved.
        before: the value of runs that were saved before there was this setting; None: as by default.
        formerly: text in the flags.cfg of an earlier release → what it is now.
        kind: int, float, str, bool or `Switch`; of the elements, where it is a list.
        least: how few values a list may have.
        many: whether it is a list, a tuple.
        optional: whether it may be None.
    """

    default: object
    help: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] | None = None
    count: int | None = None
    least: int = 0
    neutral: bool = False
    place: bool = False
    before: object = None
    formerly: Mapping[str, str] = dataclasses.field(default_factory=dict)
    kind: type = str
    many: bool = False
    optional: bool = False

    @property
    def expected(self):
        """What values are expected, a phrase."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        words = KINDS[self.kind]
        if self.many:
            words = f"{self.count or 'some'} {words.split()[-1]}s separated by commas"
        if self.low is not None:
            words += f" from {self.low}"
        if self.high is not None:
            words += f" to {self.high}" if self.low is not None else f" up to {self.high}"
        return words

    def parse(self, text):
        """Returns the value that a text, as of a flag or in flags.cfg, stands for.

        Raises:
            ValueError: it stands for none; the message says what is expected.
        """
        try:
            if not self.many:
                return self.check(self._parse_one(text))
            return self.check(tuple(self._parse_one(part.strip()) for part in text.split(",") if part))
        except (ValueError, KeyError) as error:
            raise ValueError(f"expected {self.expected}") from error

    def of_run(self, text=None):
        """Returns the value of a run whose flags.cfg has `text`, or nothing; raises as `parse`."""
        if text is not None:
            return self.parse(self.formerly.get(text, text))
        return self.default if self.before is None else self.before

    def saved(self, text=None):
        """Returns the text of what `of_run` returns; None where it is not set."""
        value = self.of_run(text)
        return None if value is None else self.text(value)

    def check(self, value):
        """Returns the value, numbers in the type declared.

        Raises:
            ValueError: it is of another type, or out of bounds.
        """
        if value is None and self.optional:
            return None
        if not self.many:
            return self._check_one(value)
        value = value if isinstance(value, tuple | list) else (value,)
        if self.count not in (None, len(value)) or len(value) < self.least:
            raise ValueError(f"expected {self.expected}")
        return tuple(map(self._check_one, value))

    def text(self, value):
        """Returns the text that `parse` makes the value of."""
        if self.many:
            return ",".join(str(x).removesuffix(".0") for x in value)
        return str(value).lower() if isinstance(value, bool) else str(value)

    def _parse_one(self, text):
        if self.kind is Switch and text.lower() == AUTO:
            return AUTO
        return WORDS[text.lower()] if self.kind in (bool, Switch) else self.kind(text)

    def _check_one(self, value):
        kind = self.kind
        if kind is Switch:
            kind = str if value == AUTO else bool
        if kind in NUMBERS and isinstance(value, NUMBERS[kind]) and not isinstance(value, bool):
            value = kind(value)
        good = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
        if good and kind in NUMBERS:
            low = -math.inf if self.low is None else self.low
            high = math.inf if self.high is None else self.high
            good = math.isfinite(value) and low <= value <= high
        if not good or (self.choices and value not in self.choices):
            raise ValueError(f"expected {self.expected}")
        return value


def setting(default, help, **rules):
    """Returns the field of a `Settings` class; arguments as the attributes of `Setting`."""
    return dataclasses.field(default=default, metadata={"setting": Setting(default, help, **rules)})


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings of a room: a subclass has a `GROUP`, their heading in --help, and `setting`s.

    Raises:
        UserError: a value is out of bounds, or of another type.
    """

    GROUP: typing.ClassVar[str]

    def __post_init__(self):
        for name, one in settings_of(type(self)).items():
            value = getattr(self, name)
            try:
                object.__setattr__(self, name, one.check(value))
            except ValueError as error:
                shown = ",".join(map(str, value)) if isinstance(value, tuple | list) else value
                raise UserError(f"--{name}={shown}: {error}") from error

    @classmethod
    def of(cls, values):
        """Returns the settings in a name → value mapping, which may have more; values may be texts.

        One that it lacks is as it was before there was such a setting, see `Setting.of_run`.

        Raises:
            UserError: a text stands for no value, or a value is out of bounds.
        """
        found = {}
        for name, one in settings_of(cls).items():
            value = values.get(name)
            try:
                if value is None or isinstance(value, str):
                    value = one.of_run(value)
            except ValueError as error:
                raise UserError(f"--{name}={value}: {error}") from error
            found[name] = value
        return cls(**found)

    def check(self, given=None):
        """Checks the settings against each other.

        Args:
            given: names of those that the user gave; None: all that are not as they are by default.

        Raises:
            UserError: they contradict each other.
        """

    def changed(self, name, given=None):
        """Returns whether a setting was given, see `check`, and is not as it is by default."""
        default = settings_of(type(self))[name].default
        return (given is None or name in given) and getattr(self, name) != default


def texts_of(settings, *, decisive=False):
    """Returns name → text of what several `Settings` have that is set, but places.

    Args:
        settings: instances of `Settings`.
        decisive: leave out what is neutral, too.
    """
    found = {}
    for part in settings:
        for name, one in settings_of(type(part)).items():
            value = getattr(part, name)
            if value is not None and not one.place and not (decisive and one.neutral):
                found[name] = one.text(value)
    return found


def with_values(settings, values):
    """Returns several `Settings`, those with a name in `values` with that value."""
    return [
        dataclasses.replace(
            part, **{name: values[name] for name in settings_of(type(part)) if name in values}
        )
        for part in settings
    ]


@functools.cache
def settings_of(cls):
    """Returns name → `Setting` of the fields of a `Settings` class."""
    hints = typing.get_type_hints(cls)
    return {
        field.name: _completed(field.metadata["setting"], hints[field.name])
        for field in dataclasses.fields(cls)
    }


def _completed(one, hint):
    optional = isinstance(hint, types.UnionType)
    if optional:
        (hint,) = (kind for kind in typing.get_args(hint) if kind is not types.NoneType)
    many = typing.get_origin(hint) is tuple
    kind = typing.get_args(hint)[0] if many else hint
    return dataclasses.replace(one, kind=kind, many=many, optional=optional)
