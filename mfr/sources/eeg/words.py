"""Counts and lists in messages."""

from collections.abc import Sequence


def counted(number: int, noun: str) -> str:
    """Number and noun, in the plural unless there is one: `1 file`, `2 files`."""
    return f"{number} {noun}{'s' * (number != 1)}"


def listed(items: Sequence[str], most: int) -> str:
    """Items separated by commas, at most `most` of them, and how many more there are."""
    more = [f"… and {len(items) - most} more"] if len(items) > most else []
    return ", ".join([*items[:most], *more])
