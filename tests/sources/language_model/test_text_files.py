import bz2
import gzip
import lzma
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import pytest

from mfr.runtime.errors import UserError
from mfr.sources.language_model.text_files import content, lines, paragraphs, unfit
from mfr.sources.language_model.text_rows import json_lines

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
PAGE = b"\n<!DOCTYPE html>\n<html><body>404: not found</body></html>"


def save(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("read", [partial(json_lines, column="text"), paragraphs, content])
def test_a_file_that_cannot_be_read_is_named(read: Callable[[Path], Iterable[str]]) -> None:
    """The system lets even an administrator open this file, but not read it."""
    with pytest.raises(UserError, match=r"^/proc/self/mem: cannot be read \(Input/output error\); make it readable"):
        list(read(Path("/proc/self/mem")))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_all_line_ends_separate_paragraphs(tmp_path: Path, end: str) -> None:
    path = save(tmp_path / "text.txt", f"one{end}more{end}{end}two{end} {end}{end}three".encode())
    assert list(paragraphs(path)) == ["one\nmore\n", "two\n", "three"]
    assert content(path) == "one\nmore\n\ntwo\n \n\nthree"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_byte_order_mark_says_the_encoding_and_is_dropped(tmp_path: Path, encoding: str) -> None:
    text = "Grüße 😀\n\nzweiter Absatz\n"
    mark = "\ufeff" if encoding.endswith("e") else ""
    path = save(tmp_path / "text.txt", (mark + text).encode(encoding))
    assert content(path) == text
    assert list(paragraphs(path)) == ["Grüße 😀\n", "zweiter Absatz\n"]
    assert unfit(path) == ""


@pytest.mark.parametrize(("ending", "pack"), [(".gz", gzip.compress), (".BZ2", bz2.compress), (".xz", lzma.compress)])
def test_packed_text_is_unpacked(tmp_path: Path, ending: str, pack: Callable[[bytes], bytes]) -> None:
    text = "".join(f"paragraph {i} é\n\n" for i in range(3000))
    path = save(tmp_path / f"text.txt{ending}", pack(text.encode()))
    assert content(path) == text and unfit(path) == ""
    whole = path.read_bytes()
    save(path, whole[: len(whole) // 2])
    with pytest.raises(
        UserError, match=rf"text\.txt{ending}: cannot be unpacked \(Compressed file ended before .*\); write or d"
    ):
        content(path)
    save(path, b"plain text")
    assert unfit(path).startswith("cannot be unpacked (")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("gut\nGrüße\n".encode("latin-1"), r"text\.txt: not UTF-8 text \(line 2\); convert it, or leave it out of the text"),
        (b"good\n" * 5000 + b"b\0d\n", r"text\.txt: NUL characters, so it is no text \(line 5001\)"),
        (b"good\n\xed\xa0\x80", r"text\.txt: not UTF-8 text \(line 2\)"),
        ("text".encode("utf-16") + b"\x00", r"text\.txt: not whole UTF-16 text; write or download it again"),
    ],
)
def test_what_is_no_text_further_on_is_named_with_its_line(tmp_path: Path, data: bytes, message: str) -> None:
    path = save(tmp_path / "text.txt", data)
    assert unfit(path) == ""
    for read in (content, lines, paragraphs):
        with pytest.raises(UserError, match=message):
            list(read(path))


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.txt", PNG, "binary data, no text"),
        ("a.csv", PNG, "binary data, no text"),
        ("a.txt", "no mark".encode("utf-16-le"), "binary data, no text"),
        ("a.PNG", b"short", "an image, a sound or a video"),
        ("a.pdf", b"%PDF-1.4 in ASCII", "no plain text: convert it to .txt"),
        ("a.docx", b"PK\x03\x04", "no plain text: convert it to .txt"),
        ("a.zip", b"PK\x03\x04", "an archive: unpack it"),
        ("a.tar.gz", gzip.compress(b"name" + b"\0" * 508, mtime=0), "an archive: unpack it"),
        ("a.jsonl.zst", b"(\xb5/\xfd", "packed in a way that is not read here: unpack it, or pack it as .gz"),
        ("a.arrow", b"ARROW1", "a table of a kind that is not read here: write it as .parquet, .csv or .jsonl"),
        ("a.parquet.gz", gzip.compress(b"PAR1", mtime=0), "a parquet file that is packed again: unpack it"),
        ("a.parquet", b"PAR1 and no end", "not a whole parquet file: download or write it again"),
        ("a.parquet", b"P", "not a whole parquet file: download or write it again"),
        ("a.txt.gz", gzip.compress(b"a", mtime=0), ""),
        ("a.jsonl.gz", gzip.compress(PAGE, mtime=0), "a web page in place of rows: download the file again"),
        (
            "a.json",
            b'{\n  "dataset": "name"\n}',
            "a JSON object over several lines, no rows: write one object per line, or a list of",
        ),
        ("a.txt", b"", "empty"),
        ("a.jsonl", b"", "empty"),
        ("a.parquet", b"", "empty"),
        ("a.txt", b"\xef\xbb\xbf\r\n", "empty"),
        ("a.txt", b" \n\r\n\t" * 10000, "empty"),
        ("a.txt", b" \n" * 10000 + b"text", ""),
        ("a.gz", gzip.compress(b"", mtime=0), "empty"),
        ("a.html", PAGE, ""),
        ("a", b"text", ""),
        ("/proc/self/mem", None, "cannot be read (Input/output error)"),
    ],
)
def test_files_that_are_no_text_are_known_by_name_and_beginning(
    tmp_path: Path, name: str, data: bytes | None, reason: str
) -> None:
    path = tmp_path / name
    if data is not None:
        save(path, data)
    assert unfit(path).startswith(reason) and bool(unfit(path)) == bool(reason)


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.json", "a.csv", "a.TSV", "a.parquet"])
def test_a_web_page_in_place_of_rows_is_known(tmp_path: Path, name: str) -> None:
    assert unfit(save(tmp_path / name, PAGE)) == "a web page in place of rows: download the file again"
