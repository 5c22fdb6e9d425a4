"""The errors that a user is meant to read."""


class UserError(Exception):
    """A mistake that its user can mend: the message names the file, parameter or row, and what would be right."""


class UnusableError(Exception):
    """Why a recording is skipped, not the end of the run: a reason and, after a colon, what is so in this file."""
