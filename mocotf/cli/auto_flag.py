"""A flag that is on, off, or left to the program: --name, --noname, --name=true, =false, =auto."""

from absl import flags

flags.disclaim_key_flags()  # they are those of the module that asks for them

AUTO = "auto"


class _Parser(flags.BooleanParser):
    """Parses what a boolean flag takes, and auto."""

    def parse(self, argument):
        if isinstance(argument, str) and argument.lower() == AUTO:
            return AUTO
        try:
            return super().parse(argument)
        except ValueError as error:
            raise ValueError(f"expected {AUTO}, true or false, not {argument}") from error

    def flag_type(self):
        return "bool or auto"


class _Flag(flags.Flag):
    """A flag of this kind; absl takes it without a value, as it does boolean ones."""

    def __init__(self, name, help):
        super().__init__(_Parser(), None, name, AUTO, help)
        self.boolean = True

    def _serialize(self, value):
        return f"--{self.name}={str(value).lower()}"


def define(name, help):
    """Defines a flag, True, False or by default `AUTO`."""
    flags.DEFINE_flag(_Flag(name, help))
