"""The one exception that a user's mistake raises."""


class UserError(ValueError):
    """A mistake the user can mend: one line that says what was wrong, expected, received, to try."""
