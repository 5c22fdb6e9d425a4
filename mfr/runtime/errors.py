"""Errors whose messages are written for the user."""

import re


class UserError(Exception):
    """A mistake that the user can fix.

    The message names the file, parameter or row, and says what would be right.
    """


class UnusableError(Exception):
    """The reason why a recording is skipped; it does not end the run.

    The message is a general reason, then a colon and the details of this file.
    """


def first_sentence(error: BaseException) -> str:
    """First sentence of a library's message, on one line; the error's type if it has no message."""
    return re.split(r"(?<=[.!?]) ", " ".join(str(error).split()), maxsplit=1)[0] or type(error).__name__
