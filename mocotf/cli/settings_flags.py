"""Flags made of settings: parsed, checked and saved as these declare."""

from absl import flags

from mocotf.cli import arguments
from mocotf.settings import Switch
from mocotf.settings import settings_of

FLAGS = flags.FLAGS
flags.disclaim_key_flags()  # they are those of the module that asks for them


class SettingParser(flags.ArgumentParser):
    """Parses the text of a flag as its setting does."""

    def __init__(self, one):
        super().__init__()
        self._one = one
        self.syntactic_help = one.expected

    def parse(self, argument):
        return (self._one.parse if isinstance(argument, str) else self._one.check)(argument)


class SettingFlag(flags.Flag):
    """The flag of a setting.

    Attributes:
        setting: the `Setting`.
        group: heading that it has in --help.
    """

    def __init__(self, name, one, group):
        super().__init__(SettingParser(one), None, name, one.default, one.help)
        self.boolean = one.kind in (bool, Switch)  # as absl calls what takes no value: --name, --noname
        self.setting = one
        self.group = group

    def _serialize(self, value):
        return f"--{self.name}={self.setting.text(value)}"


def define(*classes):
    """Defines the flags of `Settings` classes, as key flags of the module that calls."""
    for cls in classes:
        for name, one in settings_of(cls).items():
            if name not in FLAGS:
                owner = next(c for c in cls.__mro__ if name in vars(c).get("__annotations__", ()))
                flags.DEFINE_flag(SettingFlag(name, one, owner.GROUP))
            elif FLAGS[name].setting != one:
                raise flags.DuplicateFlagError(f"--{name} of {cls.__name__} is another setting, too")
            else:
                flags.declare_key_flag(name)


def neutral(*classes):
    """Returns the names of the settings that may change when a run is resumed."""
    return {name for cls in classes for name, one in settings_of(cls).items() if one.neutral}


def read(cls):
    """Returns the `Settings` that the flags give, held against each other.

    Raises:
        UserError: they contradict each other.
    """
    settings = cls(**{name: FLAGS[name].value for name in settings_of(cls)})
    settings.check(arguments.given())
    return settings
