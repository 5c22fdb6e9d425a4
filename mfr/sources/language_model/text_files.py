"""Documents in files: the rows of JSON-lines and parquet files, the paragraphs of a text file, or all of it."""

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
    """Make a `UserError` that names `path` of what the system says against reading it."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}): make it readable, or move it away") from None


def json_lines(path: Path, column: str) -> Iterator[str]:
    """The text in `column` of every line that is not blank.

    Raises `UserError` for a file that cannot be read, and naming the first line that is no JSON object or has no such text.
    """
    with readable(path), path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield text_of(_json_object(line, f"{path}, line {number}"), column, f"{path}, line {number}")


def parquet_rows(path: Path, column: str) -> Iterator[str]:
    """The text in `column` of every row.

    Raises `UserError` for a file that cannot be read, is no whole parquet file or has no such column, and for the first row
    without a text.
    """
    with readable(path):
        path.open("rb").close()
    # Imported here because only parquet files are worth the time it takes.
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
        raise UserError(f"{path}: not a whole parquet file ({first_line}): write it again, or move it away") from None


# What reads a file of rows, by the ending of its name.
ROWS: dict[str, Callable[[Path, str], Iterator[str]]] = {".jsonl": json_lines, ".parquet": parquet_rows}


def text_of(row: Mapping[str, object], column: str, place: str) -> str:
    """The text in `column` of a row; null is an empty one. Raises `UserError` for a row without such a text."""
    if column not in row:
        raise _no_column(column, list(row), place)
    value = row[column]
    if value is not None and not isinstance(value, str):
        raise UserError(f"text.column: {place}: {column!r} holds no text, but {type(value).__name__}: name another column")
    return value or ""


def paragraphs(path: Path) -> Iterator[str]:
    """The paragraphs of a text file, which empty lines part; `UserError` where it cannot be read or is not UTF-8."""
    with readable(path), path.open(encoding="utf-8") as lines:
        try:
            for blank, block in groupby(lines, key=lambda line: not line.strip()):
                if not blank:
                    yield "".join(block)
        except UnicodeDecodeError:
            raise UserError(f"{path}: not UTF-8 text: convert the file") from None


def content(path: Path) -> str:
    """All of a text file; `UserError` where it cannot be read or is not UTF-8."""
    try:
        with readable(path):
            return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start}): convert the file, or move it away") from None


def _json_object(line: bytes, place: str) -> dict[str, object]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise UserError(f"{place}: not JSON ({error}): correct the line") from None
    if not isinstance(row, dict):
        raise UserError(f'{place}: not a JSON object: a line reads {{"text": "…"}}')
    return row


def _no_column(column: str, names: list[str], place: str) -> UserError:
    return UserError(f"text.column: {place} has no column {column!r}; its columns are {', '.join(names)}")
