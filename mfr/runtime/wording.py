"""Counts and lists in messages."""

from collections.abc import Sequence


def counted(count: int, noun: str) -> str:
    """A number with its noun in the singular or plural: `1 file`, `2 files`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def listed(items: Sequence[str], most: int, separator: str = ", ") -> str:
    """At most `most` items, and how many more there are."""
    more = [f"… and {len(items) - most} more"] if len(items) > most else []
    return separator.join([*items[:most], *more])
