import json
import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from mfr.config.language_model import Text
from mfr.runtime.errors import UserError
from mfr.sources.language_model.text import documents, is_heldout
from mfr.sources.language_model.text_files import content, json_lines, paragraphs, parquet_rows

TEXTS = [f"document {i}\nwith a second line and an é" for i in range(60)]


def write_jsonl(path: Path, texts: list[str], column: str = "text") -> Path:
    path.write_text("".join(json.dumps({"id": i, column: text}) + "\n" for i, text in enumerate(texts)))
    return path


def write_parquet(path: Path, texts: list[str], column: str = "text") -> Path:
    pd.DataFrame({"id": range(len(texts)), column: texts}).to_parquet(path, row_group_size=7)
    return path


WRITERS = {"rows.jsonl": write_jsonl, "rows.parquet": write_parquet}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("column", ["text", "body"])
def test_each_row_is_a_document_of_one_split(tmp_path: Path, name: str, column: str) -> None:
    text = Text(text=str(WRITERS[name](tmp_path / name, TEXTS, column)), column=column, heldout_share=0.4)
    heldout = [content for i, content in enumerate(TEXTS) if is_heldout(f"row {i}", 0.4)]
    assert 5 < len(heldout) < 50
    assert list(documents(text, "heldout")) == heldout
    assert list(documents(text, "train")) == [content for content in TEXTS if content not in heldout]


def test_a_folder_may_hold_all_kinds(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "first.jsonl", TEXTS[:20])
    (tmp_path / "deeper").mkdir()
    write_parquet(tmp_path / "deeper" / "second.PARQUET", TEXTS[20:40])
    for i, document in enumerate(TEXTS[40:]):
        (tmp_path / f"{i}.txt").write_text(document)
    text = Text(text=str(tmp_path), heldout_share=0.5)
    train, heldout = (list(documents(text, split)) for split in ("train", "heldout"))
    assert sorted(train + heldout) == sorted(TEXTS)
    # Neighbouring rows of one file are not all on one side.
    assert all(set(TEXTS[part]) & set(side) for part in (slice(20), slice(20, 40)) for side in (train, heldout))


def test_rows_are_read_as_they_are_asked_for(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", TEXTS)
    with path.open("a") as file:
        file.write("{broken\n")
    rows = json_lines(path, "text")
    assert [next(rows) for _ in TEXTS] == TEXTS
    with pytest.raises(UserError):
        next(rows)


def test_a_large_parquet_file_is_read_with_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "large.parquet"
    table = pa.table({"text": [f"{i} " + "some words " * 500 for i in range(8000)]})
    parquet.write_table(table, path, compression="none", use_dictionary=False)
    size = table.nbytes
    del table
    before, peak = pa.total_allocated_bytes(), 0
    for _ in parquet_rows(path, "text"):
        peak = max(peak, pa.total_allocated_bytes() - before)
    assert size > 40e6 and peak < size / 5


def test_blank_lines_and_rows_without_a_text_are_no_documents(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "one"}\n\n{"text": null}\n  \n{"text": "two"}')
    assert list(json_lines(path, "text")) == ["one", "", "two"]
    text = Text(text=str(path), heldout_share=0.5)
    assert sorted([*documents(text, "train"), *documents(text, "heldout")]) == ["one", "two"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "cut', r"rows\.jsonl, line 3: not JSON \(.*\); correct the line"),
        ('["a list"]', r"rows\.jsonl, line 3: not a JSON object; write each line as"),
        ('{"id": 1, "body": "b"}', r"text\.column: .*rows\.jsonl, line 3: no column 'text'; its columns are id, body"),
        ('{"text": 7}', r"text\.column: .*rows\.jsonl, line 3: 'text' is not text but int; name another column"),
        (b'{"text": "Gr\xfc\xdfe"}', r"rows\.jsonl, line 3: not JSON \(.*decode.*\)"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: str | bytes, message: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"text": "one"}\n\n' + (line if isinstance(line, bytes) else line.encode()) + b"\n")
    with pytest.raises(UserError, match=message):
        list(json_lines(path, "text"))


@pytest.mark.parametrize("read", [partial(json_lines, column="text"), paragraphs, content])
def test_a_file_that_cannot_be_read_is_named(read: Callable[[Path], Iterable[str]]) -> None:
    """The system lets even an administrator open this file, but not read it."""
    with pytest.raises(UserError, match=r"^/proc/self/mem: cannot be read \(Input/output error\); make it readable"):
        list(read(Path("/proc/self/mem")))


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to an administrator")
@pytest.mark.parametrize("name", ["rows.jsonl", "rows.parquet", "text.txt"])
def test_what_is_closed_to_the_user_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / "mine" / name
    path.parent.mkdir()
    path.touch(mode=0o000)
    with pytest.raises(UserError, match=rf"{name}: cannot be read \(Permission denied\)"):
        list(documents(Text(text=str(path)), "train"))
    path.parent.chmod(0o000)
    try:
        with pytest.raises(UserError, match=rf"{name}: cannot be read \(Permission denied\)"):
            list(documents(Text(text=str(path)), "train"))
    finally:
        path.parent.chmod(0o700)


def test_a_broken_parquet_file_is_named(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "rows.parquet", TEXTS)
    with pytest.raises(UserError, match=r"rows\.parquet: no column 'body'; its columns are id, text"):
        list(parquet_rows(path, "body"))
    with pytest.raises(UserError, match=r"rows\.parquet, row 1: 'id' is not text but int"):
        list(parquet_rows(path, "id"))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"rows\.parquet: cannot be read as parquet \(.*\); write it again"):
        list(parquet_rows(path, "text"))
