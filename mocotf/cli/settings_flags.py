"""Flags made of settings: parsed, checked and saved as these declare."""

from absl import flags

from mocotf.api.asked import Asked
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


def define(*classes, hidden=()):
    """Defines the flags of `Settings` classes, key flags of the module that calls but for `hidden`."""
    for cls in classes:
        for name, one in settings_of(cls).items():
            if name not in FLAGS:
                owner = next(c for c in cls.__mro__ if name in vars(c).get("__annotations__", ()))
                flag = SettingFlag(name, one, owner.GROUP)
                flags.DEFINE_flag(flag, module_name=__name__ if name in hidden else None)
            elif FLAGS[name].setting != one:
                raise flags.DuplicateFlagError(f"--{name} of {cls.__name__} is another setting, too")
            elif name not in hidden:
                flags.declare_key_flag(name)


def adopt(*modules):
    """Makes the flags of modules key flags of the module that calls."""
    for module in modules:
        flags.adopt_module_key_flags(module)


def adapt(defaults, helps):
    """Gives shared flags what is a command's own: name → default, and name → help."""
    for name, value in defaults.items():
        FLAGS.set_default(name, value)
    for name, text in helps.items():
        FLAGS[name].help = text


def require(name, expected):
    """Has a command refused that is not given a flag."""
    flags.register_validator(name, bool, f"expected {expected}")


def asked():
    """Returns what the flags ask for, an `Asked`."""
    return Asked(FLAGS.flag_values_dict(), arguments.given(), bool(arguments.files()))
