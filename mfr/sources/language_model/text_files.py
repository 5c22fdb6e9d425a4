"""Text files: which of them are read, and their lines, paragraphs or whole content."""

import bz2
import codecs
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any, TextIO

from mfr.runtime.errors import UserError, first_sentence
from mfr.sources.manifest import is_web_page

HEAD_CHARACTERS = 8192
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
PACKED: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open, ".lzma": lzma.open}
UNREADABLE = (OSError, EOFError, zlib.error, lzma.LZMAError, UnicodeDecodeError)
PARQUET, PARQUET_MAGIC, JSON = ".parquet", b"PAR1", ".json"
ROW_KINDS = (JSON, ".jsonl", ".ndjson", ".csv", ".tsv", PARQUET)
# Kinds of file that are not read, whatever they contain.
FOREIGN = {
    "an archive: unpack it": ".zip .tar .tgz .tbz2 .txz .7z .rar",
    "packed in a way that is not read here: unpack it, or pack it as .gz": ".zst .zstd .lz4",
    "no plain text: convert it to .txt": ".pdf .doc .docx .odt .ppt .pptx .odp .epub",
    "a table of a kind that is not read here: write it as .parquet, .csv or .jsonl": (
        ".xls .xlsx .ods .arrow .feather .orc .avro .sqlite .pkl .pickle .npy .npz .h5"
    ),
    "an image, a sound or a video": ".png .jpg .jpeg .gif .bmp .tif .tiff .webp .ico .mp3 .wav .flac .ogg .mp4 .mkv .avi .mov",
}
REASONS = {suffix: reason for reason, suffixes in FOREIGN.items() for suffix in suffixes.split()}


def kind(path: Path) -> str:
    """The suffix that says what a file contains, in lower case: `.jsonl` for `A.JSONL.gz`."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in PACKED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def unfit(path: Path) -> str:
    """Why a file is left out of a text, by its name and its beginning; empty if it is read.

    It cannot be opened or unpacked, is empty, is no text, or contains no rows although its name says so. Faults within a text
    are found by reading it.
    """
    suffix, packed = kind(path), path.suffix.lower() in PACKED
    if suffix in REASONS or (suffix == PARQUET and packed):
        return REASONS.get(suffix, "a parquet file that is packed again: unpack it")
    try:
        with opened(path) as file:
            head = file.read(HEAD_CHARACTERS)
            if not head.strip() and not any(line.strip() for line in file):
                return "empty"
        return _no_rows(path, suffix, head.lstrip()) or ("binary data, no text" if "\0" in head and suffix != PARQUET else "")
    except UnicodeDecodeError:
        return ""
    except UNREADABLE as error:
        return _why(error)


def _no_rows(path: Path, suffix: str, start: str) -> str:
    if suffix in ROW_KINDS and is_web_page(start.encode("utf-8", "surrogateescape")):
        return "a web page in place of rows: download the file again"
    if suffix == JSON and start.partition("\n")[0].rstrip() == "{":
        return "a JSON object over several lines, no rows: write one object per line, or a list of them"
    if suffix == PARQUET and not _is_whole_parquet(path):
        return "not a whole parquet file: download or write it again"
    return ""


def _is_whole_parquet(path: Path) -> bool:
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(len(PARQUET_MAGIC))
        file.seek(max(len(start), size - len(PARQUET_MAGIC)))
        return start == file.read() == PARQUET_MAGIC


@contextmanager
def opened(path: Path) -> Iterator[TextIO]:
    """A text file, unpacked and decoded.

    A byte-order mark is dropped, and line ends become newlines. Bytes that are not UTF-8 become lone surrogates, which
    `checked` finds. Raises one of `UNREADABLE`.
    """
    with PACKED.get(path.suffix.lower(), open)(path, "rb") as packed:
        encoding = "utf-16" if packed.peek(2)[:2] in UTF16 else "utf-8-sig"
        with io.TextIOWrapper(packed, encoding, errors="surrogateescape") as file:
            yield file


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn a failure to read or unpack in the block into a `UserError` that names `path`."""
    try:
        yield
    except UNREADABLE as error:
        remedy = "make it readable" if isinstance(error, OSError) and error.strerror else "write or download it again"
        raise UserError(f"{path}: {_why(error)}; {remedy}, or leave it out of the text") from None


def checked(text: str, path: Path, line: int) -> str:
    """`text`, which starts at `line` of a file; raises `UserError` if it is not UTF-8 or has NUL characters."""
    try:
        text.encode()
        end = text.find("\0")
        fault = "NUL characters, so it is no text" if end >= 0 else ""
    except UnicodeEncodeError as error:
        fault, end = "not UTF-8 text", error.start
    if fault:
        place = f"line {line + text.count(chr(10), 0, end)}"
        raise UserError(f"{path}: {fault} ({place}); convert it, or leave it out of the text")
    return text


def lines(path: Path) -> Iterator[str]:
    """Lines of a text file, which may be packed; raises `UserError` if it cannot be read or is not UTF-8."""
    with readable(path), opened(path) as file:
        for number, line in enumerate(file, 1):
            yield checked(line, path, number)


def paragraphs(path: Path) -> Iterator[str]:
    """Paragraphs of a text file, separated by blank lines; raises what `lines` raises."""
    for blank, block in groupby(lines(path), key=lambda line: not line.strip()):
        if not blank:
            yield "".join(block)


def content(path: Path) -> str:
    """All of a text file; raises what `lines` raises."""
    return "".join(lines(path))


def _why(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "not whole UTF-16 text"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read ({error.strerror})"
    return f"cannot be unpacked ({first_sentence(error)})"
