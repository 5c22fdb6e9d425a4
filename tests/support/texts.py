"""A text whose files are listed and then read, as a stage does."""

from collections.abc import Iterator
from pathlib import Path

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


def write_folder(folder: Path, names: list[str]) -> Text:
    """A folder with a file of text for each name."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"document {name}")
    return Text(text=str(folder), heldout_share=0.3)


def left_out(text: Text) -> dict[str, str]:
    """Reasons of the files that are left out, by name."""
    return {each.path: each.reason for each in pin(text).left_out}


def both(text: Text) -> list[str]:
    """All documents, sorted."""
    return sorted([*documents(text, "train"), *documents(text, "heldout")])
