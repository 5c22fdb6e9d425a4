"""Words of messages that several stages share."""


def counted(count: int, noun: str) -> str:
    """A number with its noun in the singular or plural: `1 file`, `2 files`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
