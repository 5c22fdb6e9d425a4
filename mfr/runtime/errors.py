"""Errors whose messages are written for the user."""


class UserError(Exception):
    """A mistake that the user can fix.

    The message names the file, parameter or row, and says what would be right.
    """


class UnusableError(Exception):
    """The reason why a recording is skipped; it does not end the run.

    The message is a general reason, then a colon and the details of this file.
    """


def first_sentence(error: BaseException) -> str:
    """First sentence of a library's message without its full stop, or the error's type if there is no message."""
    lines = str(error).strip().splitlines()
    return lines[0].partition(". ")[0].rstrip(" .:;,") if lines else type(error).__name__
