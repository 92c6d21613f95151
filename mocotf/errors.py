"""What ends a command otherwise than by success or a fault of ours."""

import re

# Colours of a terminal; where in a graph TensorFlow was.
NOISE = re.compile(r"\x1b\[[0-9;]*m|\{\{[^{}]*\}\} ?| \[Op:\w+\].*")


class UserError(ValueError):
    """A mistake the user can mend: one line that says what was wrong, expected, received, to try.

    Examples:
        >>> try:
        ...     mocotf.two_crops("my_photos", crop_minimum=0.1)
        ... except mocotf.UserError as error:
        ...     print(error)
        two_crops: crop_minimum is no setting; expected some of ...
    """

    def _render_traceback_(self):
        """Returns the lines that IPython and Jupyter show where nobody catches it: where it comes from
        is of no use."""
        return [f"{type(self).__name__}: {self}"]


class Preempted(Exception):  # noqa: N818  (no error)
    """The process was asked to end, and did so in good order; says what was kept.

    Attributes:
        code: exit code that tells of it: 143 of SIGTERM, as a shell has it, 130 of Ctrl-C.
    """

    def __init__(self, said, code):
        super().__init__(said)
        self.code = code


def first_line(error):
    """Returns the first line of what an exception says; its name where it says nothing."""
    lines = [line for line in NOISE.sub("", str(error)).splitlines() if line.strip()]
    # Keras says in another line what it was.
    said = [line for line in lines if not line.startswith("Exception encountered when calling")]
    return (said or lines or [type(error).__name__])[0].strip()
