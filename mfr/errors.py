"""The one error that a user is meant to read."""


class UserError(Exception):
    """A mistake that its user can mend: the message names the file, parameter or row, and what would be right."""
