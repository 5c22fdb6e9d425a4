"""Rows of JSON, CSV and parquet files, each of which is a document."""

import csv
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from mfr.runtime.errors import UserError, first_sentence
from mfr.runtime.wording import listed
from mfr.sources.language_model.text_files import HEAD_CHARACTERS, checked, kind, lines, opened, readable
from mfr.sources.manifest import printable

ROWS_AT_ONCE = 100
BUFFER_BYTES = 1 << 20
PIECE = 1 << 20
# The longest part of a JSON value, apart from a string, that can be cut off at the end of a piece.
LONGEST_TOKEN = 16
# What comes before an element of a JSON list, and after its last one.
LIST_START, LIST_NEXT = re.compile(r"\s*\[(?!\s*\])\s*"), re.compile(r"\s*,\s*")
EMPTY_LIST, LIST_END = re.compile(r"\s*\[\s*\]\s*"), re.compile(r"\s*\]\s*")
NEWLINE = "\n"
DELIMITERS = {".csv": ",", ".tsv": "\t"}
COLUMNS_SHOWN, COLUMN_CHARACTERS = 10, 40


def json_lines(path: Path, column: str) -> Iterator[str]:
    """The text in `column` of every line that is not blank; a line that is a string is such a text.

    Raises `UserError` if the file cannot be read, or for the first line without a text.
    """
    decoder = _decoder(column)
    for number, line in enumerate(lines(path), 1):
        if line.strip():
            place = f"{path}, line {number}"
            try:
                row = decoder.decode(line.removeprefix("\ufeff"))
            except (ValueError, RecursionError) as error:
                raise _not_json(error, place) from None
            yield _text_in(row, column, place)


def json_rows(path: Path, column: str) -> Iterator[str]:
    """Like `json_lines`, also for a file with one list of rows."""
    with readable(path), opened(path) as file:
        is_list = file.read(HEAD_CHARACTERS).lstrip().startswith("[")
    if is_list:
        yield from (_text_in(row, column, place) for row, place in _elements(path, _decoder(column)))
    else:
        yield from json_lines(path, column)


def _elements(path: Path, decoder: json.JSONDecoder) -> Iterator[tuple[object, str]]:
    """Elements of the list in a file, each with its place; only a piece of the file is in memory."""
    text, at, line = "", 0, 1
    before, end = LIST_START, EMPTY_LIST
    with readable(path), opened(path) as file:
        while True:
            text, at = text[at:], 0
            # Pieces that grow with what is left keep the time for a long row linear.
            piece = checked(file.read(max(PIECE, len(text))), path, line + text.count(NEWLINE))
            text += piece
            while found := before.match(text, at):
                try:
                    row, after = decoder.raw_decode(text, found.end())
                except (ValueError, RecursionError) as error:
                    if piece and _may_continue(error, text):
                        break
                    raise _not_json(error, f"{path}, line {line + text.count(NEWLINE, at, found.end())}") from None
                line += text.count(NEWLINE, at, found.end())
                yield row, f"{path}, line {line}"
                line += text.count(NEWLINE, found.end(), after)
                at, before, end = after, LIST_NEXT, LIST_END
            if not piece:
                break
    if not end.fullmatch(text, at):
        raise UserError(f"{path}, line {line}: not JSON (expecting ',' or ']'); correct the line")


def csv_rows(path: Path, column: str) -> Iterator[str]:
    """The text in `column` of every row below the header of a `.csv` or `.tsv` file.

    Raises `UserError` if the file cannot be read, if the column is missing or repeated, and for the first row that is broken or
    not as long as the header.
    """
    # The limit of 128 KiB per value can only be lifted for the whole process.
    csv.field_size_limit(sys.maxsize)
    rows = csv.reader(lines(path), delimiter=DELIMITERS[kind(path)], strict=True)
    header, position = list[str](), 0
    try:
        for row in filter(None, rows):
            place = f"{path}, line {rows.line_num}"
            if not header:
                header, position = row, _position(column, row, str(path))
            elif len(row) != len(header):
                raise UserError(f"{place}: {len(row)} values for {len(header)} columns; correct the row, or quote its values")
            else:
                yield row[position]
    except csv.Error as error:
        reason = printable(str(error))
        raise UserError(f"{path}, line {rows.line_num}: a broken row ({reason}); correct it") from None


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
            _position(column, file.schema_arrow.names, str(path))
            number = 0
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=[column]):
                for value in batch.column(0).to_pylist():
                    number += 1
                    yield text_of({column: value}, column, f"{path}, row {number}")
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: cannot be read as parquet ({first_sentence(error)}); write it again, or leave it out of the text"
        ) from None


# Readers of files of rows, by kind.
ROWS: dict[str, Callable[[Path, str], Iterator[str]]] = {
    ".json": json_rows,
    ".jsonl": json_lines,
    ".ndjson": json_lines,
    ".csv": csv_rows,
    ".tsv": csv_rows,
    ".parquet": parquet_rows,
}


def text_of(row: Mapping[str, object], column: str, place: str) -> str:
    """The text in `column` of a row, empty if null; bytes are read as UTF-8.

    Raises `UserError`, which names `place`, if there is no such column or its value is not text.
    """
    if column not in row:
        raise _no_column(column, list(row), place)
    value = row[column]
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            raise UserError(f"text.column: {place}: {column!r} is not UTF-8 text; name another column") from None
    if value is not None and not isinstance(value, str):
        raise UserError(f"text.column: {place}: {column!r} is not text but {type(value).__name__}; name another column")
    return value or ""


def _text_in(row: object, column: str, place: str) -> str:
    if isinstance(row, str):
        return row
    if not isinstance(row, dict):
        raise UserError(f'{place}: not a JSON object; write each row as {{"{column}": "…"}}')
    return text_of(row, column, place)


def _decoder(column: str) -> json.JSONDecoder:
    """Decoder that refuses an object with two values for `column`."""

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        row = dict(pairs)
        if len(row) < len(pairs) and [name for name, _ in pairs].count(column) > 1:
            raise ValueError(f"two values for {column!r}")
        return row

    return json.JSONDecoder(object_pairs_hook=unique)


def _may_continue(error: Exception, text: str) -> bool:
    """Whether a value may only be cut off at the end of `text`."""
    if not isinstance(error, json.JSONDecodeError):
        return False
    return error.msg.startswith("Unterminated string") or error.pos >= len(text) - LONGEST_TOKEN


def _not_json(error: Exception, place: str) -> UserError:
    # Its position, which follows, counts from the start of the row.
    reason = error.msg.removesuffix(" at") if isinstance(error, json.JSONDecodeError) else first_sentence(error)
    return UserError(f"{place}: not JSON ({reason}); correct the line")


def _position(column: str, names: Sequence[str], place: str) -> int:
    if column not in names:
        raise _no_column(column, names, place)
    if names.count(column) > 1:
        raise UserError(f"text.column: {place}: several columns are called {column!r}; rename all but one")
    return names.index(column)


def _no_column(column: str, names: Sequence[str], place: str) -> UserError:
    shown = listed([printable(name[:COLUMN_CHARACTERS]) for name in names], COLUMNS_SHOWN)
    what = f"its columns are {shown}" if names else "it has no columns"
    return UserError(f"text.column: {place}: no column {column!r}; {what}")
