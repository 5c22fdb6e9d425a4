"""Errors whose messages are written for the user."""


class UserError(Exception):
    """A mistake that the user can fix.

    The message names the file, parameter or row, and says what would be right.
    """


class UnusableError(Exception):
    """The reason why a recording is skipped; it does not end the run.

    The message is a general reason, then a colon and the details of this file.
    """
