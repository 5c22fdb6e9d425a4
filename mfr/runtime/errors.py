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
    """The first sentence of a library's error in one line, without its full stop; its type if the text says nothing."""
    text = " ".join(str(error).split())
    sentence = re.split(r"(?<=[.!?]) ", text, maxsplit=1)[0].rstrip(".")
    if isinstance(error, KeyError):
        return f"{type(error).__name__}: {sentence}"
    return sentence or type(error).__name__
