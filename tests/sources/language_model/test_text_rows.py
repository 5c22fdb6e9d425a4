import csv
import gzip
import json
import tracemalloc
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from mfr.config.language_model import Text
from mfr.runtime.errors import UserError
from mfr.sources.language_model.text import is_heldout
from mfr.sources.language_model.text_rows import PIECE, ROWS, csv_rows, json_lines, json_rows, parquet_rows
from tests.support.texts import documents

TEXTS = [f'document {i}\nwith a "second" line, a\ttab and an é' for i in range(60)]


def write_jsonl(path: Path, texts: list[str], column: str = "text") -> Path:
    path.write_text("".join(json.dumps({"id": i, column: text}) + "\n" for i, text in enumerate(texts)))
    return path


def write_packed_jsonl(path: Path, texts: list[str], column: str = "text") -> Path:
    path.write_bytes(gzip.compress(write_jsonl(path, texts, column).read_bytes()))
    return path


def write_json(path: Path, texts: list[str], column: str = "text") -> Path:
    path.write_text(json.dumps([{"id": i, column: text} for i, text in enumerate(texts)], indent=2))
    return path


def write_csv(path: Path, texts: list[str], column: str = "text") -> Path:
    table = pd.DataFrame({"id": range(len(texts)), column: texts})
    table.to_csv(path, index=False, sep="\t" if path.suffix.lower() == ".tsv" else ",")
    return path


def write_parquet(path: Path, texts: list[str], column: str = "text") -> Path:
    pd.DataFrame({"id": range(len(texts)), column: texts}).to_parquet(path, row_group_size=7)
    return path


WRITERS = {
    "rows.jsonl": write_jsonl,
    "rows.NDJSON": write_jsonl,
    "rows.jsonl.gz": write_packed_jsonl,
    "rows.json": write_json,
    "lines.json": write_jsonl,
    "lines.json.gz": write_packed_jsonl,
    "rows.csv": write_csv,
    "rows.tsv": write_csv,
    "rows.parquet": write_parquet,
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("column", ["text", "body"])
def test_each_row_is_a_document_of_one_split(tmp_path: Path, name: str, column: str) -> None:
    text = Text(text=str(WRITERS[name](tmp_path / name, TEXTS, column)), column=column, heldout_share=0.4)
    heldout = [content for i, content in enumerate(TEXTS) if is_heldout(f"row {i}", 0.4)]
    assert 5 < len(heldout) < 50
    assert list(documents(text, "heldout")) == heldout
    assert list(documents(text, "train")) == [content for content in TEXTS if content not in heldout]


def test_a_folder_may_hold_all_kinds(tmp_path: Path) -> None:
    (tmp_path / "deeper").mkdir()
    for i, (name, write) in enumerate(WRITERS.items()):
        write(tmp_path / ("deeper" if i % 2 else ".") / name, [f"{name} {content}" for content in TEXTS])
    for i, document in enumerate(TEXTS):
        (tmp_path / f"{i}.txt").write_text(document)
    text = Text(text=str(tmp_path), heldout_share=0.5)
    train, heldout = (list(documents(text, split)) for split in ("train", "heldout"))
    of_file = {name: {f"{name} {content}" for content in TEXTS} for name in WRITERS}
    assert sorted(train + heldout) == sorted(TEXTS + [content for contents in of_file.values() for content in contents])
    # Neighbouring rows of one file are not all on one side.
    assert all(contents & set(side) for contents in of_file.values() for side in (train, heldout))


def test_rows_are_read_as_they_are_asked_for(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", TEXTS)
    with path.open("a") as file:
        file.write("{broken\n")
    rows = json_lines(path, "text")
    assert [next(rows) for _ in TEXTS] == TEXTS
    with pytest.raises(UserError):
        next(rows)


def test_blank_lines_and_rows_without_a_text_are_no_documents(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "one"}\n\n{"text": null}\n  \n{"text": "two"}')
    assert list(json_lines(path, "text")) == ["one", "", "two"]
    text = Text(text=str(path), heldout_share=0.5)
    assert sorted([*documents(text, "train"), *documents(text, "heldout")]) == ["one", "two"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "cut', r"rows\.jsonl, line 3: not JSON \(Invalid control character\); correct the line"),
        ('{"text": "a",}', r"rows\.jsonl, line 3: not JSON \(Expecting property name enclosed in double quotes\); correct"),
        ('{"text": "a"} {"text": "b"}', r"rows\.jsonl, line 3: not JSON \(Extra data\); correct"),
        ('{"text": "a", "text": "b"}', r"rows\.jsonl, line 3: not JSON \(two values for 'text'\); correct"),
        ("[" * 100_000, r"rows\.jsonl, line 3: not JSON \(maximum recursion depth exceeded.*\); correct"),
        ('{"n": ' + "1" * 5000 + "}", r"rows\.jsonl, line 3: not JSON \(Exceeds the limit \(4300 digits\).*\); correct"),
        ('["a list"]', r'rows\.jsonl, line 3: not a JSON object; write each row as \{"text": "…"\}'),
        ("NaN", r"rows\.jsonl, line 3: not a JSON object"),
        ('{"id": 1, "body": "b"}', r"text\.column: .*rows\.jsonl, line 3: no column 'text'; its columns are id, body$"),
        ("{}", r"text\.column: .*rows\.jsonl, line 3: no column 'text'; it has no columns$"),
        (json.dumps(dict.fromkeys(map(str, range(50)))), r"its columns are 0, 1, .*, 9, … and 40 more$"),
        ('{"text": 7}', r"text\.column: .*rows\.jsonl, line 3: 'text' is not text but int; name another column"),
        ('{"text": NaN}', r"text\.column: .*rows\.jsonl, line 3: 'text' is not text but float"),
        ('{"text": {"a": "b"}}', r"text\.column: .*rows\.jsonl, line 3: 'text' is not text but dict"),
        (b'{"text": "Gr\xfc\xdfe"}', r"rows\.jsonl: not UTF-8 text \(line 3\); convert it"),
        (b'{"text": "\0"}', r"rows\.jsonl: NUL characters, so it is no text \(line 3\)"),
    ],
)
def test_a_broken_line_is_named_in_one_line(tmp_path: Path, line: str | bytes, message: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"text": "one"}\n\n' + (line if isinstance(line, bytes) else line.encode()) + b"\n")
    with pytest.raises(UserError, match=message) as raised:
        list(json_lines(path, "text"))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends_change_no_row(tmp_path: Path, encoding: str, end: str) -> None:
    for name in ("rows.jsonl", "rows.json", "rows.csv", "rows.tsv"):
        path = WRITERS[name](tmp_path / name, [content.replace("\n", " ") for content in TEXTS])
        path.write_bytes(path.read_text().replace("\n", end).encode(encoding))
        assert list(ROWS[path.suffix](path, "text")) == [content.replace("\n", " ") for content in TEXTS]


def test_files_with_marks_that_were_joined_are_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes('{"text": "one"}\n'.encode("utf-8-sig") + '{"text": "two"}\n'.encode("utf-8-sig"))
    assert list(json_lines(path, "text")) == ["one", "two"]


def test_rows_may_be_strings(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text(json.dumps(TEXTS))
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, TEXTS)))
    assert list(json_rows(tmp_path / "rows.json", "text")) == list(json_lines(tmp_path / "rows.jsonl", "text")) == TEXTS


@pytest.mark.parametrize(("content", "texts"), [("[]", []), (' \n[ "a" ,\n"b"\n]\n ', ["a", "b"]), ('[{"text":null}]', [""])])
def test_spaces_and_an_empty_list_are_json(tmp_path: Path, content: str, texts: list[str]) -> None:
    (tmp_path / "rows.json").write_text(content)
    assert list(json_rows(tmp_path / "rows.json", "text")) == texts


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('["a",\n{"text": "b"},\n]', r"rows\.json, line 3: not JSON \(Expecting value\); correct the line"),
        ('["a",\n"b"', r"rows\.json, line 2: not JSON \(expecting ',' or '\]'\); correct the line"),
        ('["a"\n"b"]', r"rows\.json, line 1: not JSON \(expecting ',' or '\]'\)"),
        ('["a"] ["b"]', r"rows\.json, line 1: not JSON \(expecting ',' or '\]'\)"),
        ('["a", "cut', r"rows\.json, line 1: not JSON \(Unterminated string starting\)"),
        ('["a",\n{"text": 7}]', r"text\.column: .*rows\.json, line 2: 'text' is not text but int"),
        ('["a",\n\n["b"]]', r"rows\.json, line 3: not a JSON object"),
        ("[", r"rows\.json, line 1: not JSON \(Expecting value\)"),
        ("[,]", r"rows\.json, line 1: not JSON \(Expecting value\)"),
        ('["a",\n"' + "long " * PIECE + '",\n"\0"]', r"rows\.json: NUL characters, so it is no text \(line 3\)"),
        (
            '["' + "long " * PIECE + '",\n{broken}, "' + "long " * PIECE + '"]',
            r"rows\.json, line 2: not JSON \(Expecting property",
        ),
    ],
)
def test_a_broken_list_is_named_with_its_line(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "rows.json").write_text(content)
    with pytest.raises(UserError, match=message):
        list(json_rows(tmp_path / "rows.json", "text"))


def test_a_large_list_is_read_with_bounded_memory(tmp_path: Path) -> None:
    """Rows of all lengths are cut at every place where a piece can end."""
    texts = [f"{i} " + "é\\\n😀" * (i % 997) for i in range(4_000)]
    (tmp_path / "rows.json").write_text(json.dumps(texts, indent=1))
    size = (tmp_path / "rows.json").stat().st_size
    tracemalloc.start()
    try:
        assert all(read == text for read, text in zip(json_rows(tmp_path / "rows.json", "text"), texts, strict=True))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * PIECE < size


def test_long_values_of_a_csv_file_are_read(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "rows.csv", ["long " * 100_000, "", "short"])
    assert list(csv_rows(path, "text")) == ["long " * 100_000, "", "short"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.csv", "id,body\n1,b\n", r"text\.column: .*rows\.csv: no column 'text'; its columns are id, body$"),
        ("rows.csv", "id;text\n1;b\n", r"text\.column: .*rows\.csv: no column 'text'; its columns are id;text$"),
        ("rows.csv", "text,text\n1,b\n", r"text\.column: .*rows\.csv: several columns are called 'text'; rename all but one"),
        ("rows.csv", "id,text\n\n1,a,b\n", r"rows\.csv, line 3: 3 values for 2 columns; correct the row, or quote its values"),
        ("rows.csv", "id,text\n1\n", r"rows\.csv, line 2: 1 values for 2 columns"),
        (
            "rows.csv",
            'id,text\n1,"two\nlines"\n2,"cut\n',
            r"rows\.csv, line 4: a broken row \(unexpected end of data\); correct it",
        ),
        (
            "rows.tsv",
            'id\ttext\n1\t"He" said\n',
            r"rows\.tsv, line 2: a broken row \('\\t' expected after '\"'\); correct it",
        ),
    ],
)
def test_a_broken_csv_file_is_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message):
        list(csv_rows(tmp_path / name, "text"))


def test_lines_of_a_csv_file_are_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["text"], *([content] for content in TEXTS)])
    path.write_bytes(path.read_bytes() + b"\xff\r\n")
    with pytest.raises(UserError, match=r"rows\.csv: not UTF-8 text \(line 122\)"):
        list(csv_rows(path, "text"))


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


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.binary(), pa.large_binary(), pa.dictionary(pa.int32(), pa.string())]
)
def test_texts_of_all_parquet_types_are_read(tmp_path: Path, kind: pa.DataType) -> None:
    column = pa.array([*TEXTS, None], pa.binary() if pa.types.is_large_binary(kind) else pa.string()).cast(kind)
    parquet.write_table(pa.table({"id": range(61), "text": column}), tmp_path / "rows.parquet")
    assert list(parquet_rows(tmp_path / "rows.parquet", "text")) == [*TEXTS, ""]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([b"a", b"Gr\xfc\xdfe"]), r"rows\.parquet, row 2: 'text' is not UTF-8 text; name another column"),
        (pa.array([["a"], []]), r"rows\.parquet, row 1: 'text' is not text but list; name another column"),
        (pa.array([{"a": "b"}] * 2), r"rows\.parquet, row 1: 'text' is not text but dict"),
        (
            pa.StringArray.from_buffers(2, pa.array([0, 1, 2], pa.int32()).buffers()[1], pa.py_buffer(b"a\xff")),
            r"cannot be read",
        ),
    ],
)
def test_a_parquet_column_that_is_no_text_is_named(tmp_path: Path, column: pa.Array, message: str) -> None:
    parquet.write_table(pa.table({"text": column}), tmp_path / "rows.parquet")
    with pytest.raises(UserError, match=message):
        list(parquet_rows(tmp_path / "rows.parquet", "text"))


def test_a_broken_parquet_file_is_named(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "rows.parquet", TEXTS)
    with pytest.raises(UserError, match=r"rows\.parquet: no column 'body'; its columns are id, text"):
        list(parquet_rows(path, "body"))
    with pytest.raises(UserError, match=r"rows\.parquet, row 1: 'id' is not text but int"):
        list(parquet_rows(path, "id"))
    parquet.write_table(pa.table([pa.array(["a"]), pa.array(["b"])], names=["text", "text"]), tmp_path / "two.parquet")
    with pytest.raises(UserError, match=r"two\.parquet: several columns are called 'text'"):
        list(parquet_rows(tmp_path / "two.parquet", "text"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(UserError, match=r"rows\.parquet: cannot be read as parquet \(.*\); write it again") as raised:
        list(parquet_rows(path, "text"))
    assert "\n" not in str(raised.value)
    path.write_bytes(whole[:4] + b"\xff" * 300 + whole[304:])
    with pytest.raises(UserError, match=r"rows\.parquet: cannot be read as parquet \(.*\); write it again"):
        list(parquet_rows(path, "text"))
