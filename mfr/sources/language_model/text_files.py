"""Read documents from JSON-lines, parquet and text files: rows, paragraphs or whole files."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

from mfr.runtime.errors import UserError

ROWS_AT_ONCE = 100
BUFFER_BYTES = 1 << 20


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn an `OSError` in the block into a `UserError` that names `path`."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); make it readable, or leave it out of the text") from None


def json_lines(path: Path, column: str) -> Iterator[str]:
    """The text in `column` of every line that is not blank.

    Raises `UserError` if the file cannot be read, or for the first line that is not a JSON object with such a text.
    """
    with readable(path), path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield text_of(_json_object(line, f"{path}, line {number}"), column, f"{path}, line {number}")


def parquet_rows(path: Path, column: str) -> Iterator[str]:
    """The text in `column` of every row.

    Raises `UserError` if the file cannot be read, is not a whole parquet file or has no such column, or for the first row
    whose value is not text.
    """
    with readable(path):
        path.open("rb").close()
    # Imported here because it is slow, and only parquet files need it.
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path, buffer_size=BUFFER_BYTES, pre_buffer=False) as file:
            names = file.schema_arrow.names
            if column not in names:
                raise _no_column(column, names, str(path))
            number = 0
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=[column]):
                for value in batch.column(0).to_pylist():
                    number += 1
                    yield text_of({column: value}, column, f"{path}, row {number}")
    except (pa.ArrowException, OSError) as error:
        first_line = str(error).partition("\n")[0]
        raise UserError(
            f"{path}: cannot be read as parquet ({first_line}); write it again, or leave it out of the text"
        ) from None


# Readers of files of rows, by suffix.
ROWS: dict[str, Callable[[Path, str], Iterator[str]]] = {".jsonl": json_lines, ".parquet": parquet_rows}


def text_of(row: Mapping[str, object], column: str, place: str) -> str:
    """The text in `column` of a row, empty if null.

    Raises `UserError`, which names `place`, if there is no such column or its value is not text.
    """
    if column not in row:
        raise _no_column(column, list(row), place)
    value = row[column]
    if value is not None and not isinstance(value, str):
        raise UserError(f"text.column: {place}: {column!r} is not text but {type(value).__name__}; name another column")
    return value or ""


def paragraphs(path: Path) -> Iterator[str]:
    """Paragraphs of a text file, separated by blank lines.

    Raises `UserError` if the file cannot be read or is not UTF-8.
    """
    with readable(path), path.open(encoding="utf-8") as lines:
        try:
            for blank, block in groupby(lines, key=lambda line: not line.strip()):
                if not blank:
                    yield "".join(block)
        except UnicodeDecodeError:
            raise UserError(f"{path}: not UTF-8 text; convert the file") from None


def content(path: Path) -> str:
    """All of a text file; `UserError` if it cannot be read or is not UTF-8."""
    try:
        with readable(path):
            return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start}); convert it, or leave it out of the text") from None


def _json_object(line: bytes, place: str) -> dict[str, object]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise UserError(f"{place}: not JSON ({error}); correct the line") from None
    if not isinstance(row, dict):
        raise UserError(f'{place}: not a JSON object; write each line as {{"text": "…"}}')
    return row


def _no_column(column: str, names: list[str], place: str) -> UserError:
    return UserError(f"text.column: {place}: no column {column!r}; its columns are {', '.join(names)}")
