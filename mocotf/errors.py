"""What ends a command otherwise than by success or a fault of ours."""


class UserError(ValueError):
    """A mistake the user can mend: one line that says what was wrong, expected, received, to try."""


class Preempted(Exception):  # noqa: N818  (no error)
    """The process was asked to end by SIGTERM, and did so in good order; says what was kept."""


def first_line(error):
    """Returns the first line of what an exception says; its name where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
