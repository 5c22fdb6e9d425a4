"""A text whose files are listed and then read, as a stage does."""

from collections.abc import Iterator

from mfr.config.language_model import Text
from mfr.sources.language_model import text as reading
from mfr.sources.language_model.text import Split, TextManifest, text_files


def documents(text: Text, split: Split) -> Iterator[str]:
    """The documents of one split."""
    return reading.documents(text, text_files(text), split)


def pin(text: Text) -> TextManifest:
    """The current state of a text."""
    return reading.pin(text, text_files(text))


def report(text: Text) -> None:
    """Print the files that are left out."""
    reading.report(text_files(text))
