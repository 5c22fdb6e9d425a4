import json
from pathlib import Path

import pytest

from mfr.runtime.errors import UserError
from mfr.runtime.records import Record, check, file_sha256


class Sample(Record):
    name: str
    value: float
    count: int | None = None


SAMPLE = Sample(name="ä", value=0.1 + 0.2)


def test_a_record_comes_back_as_it_was_in_any_layout(tmp_path: Path) -> None:
    path = tmp_path / "sample.json"
    for text in (SAMPLE.text(), SAMPLE.text(exclude_none=True)):
        path.write_text(text)
        assert Sample.read(path, "stage") == SAMPLE
    fields = json.loads(SAMPLE.text())
    path.write_text(json.dumps(dict(reversed(fields.items())), indent=None, ensure_ascii=False))
    assert Sample.read(path, "stage") == SAMPLE


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (SAMPLE.text().replace("0.3", "0.4").encode(), r"damaged, or edited since stage wrote it \(sha256 differs\)"),
        (SAMPLE.text().replace('"count": null,', "").encode(), "damaged, or edited"),
        (SAMPLE.text()[:-20].encode(), "damaged, not valid JSON"),
        (b'{"name": "\xff"}', "damaged, not valid JSON"),
        (b"[" * 100_000, "damaged, not valid JSON"),
        (b"", "damaged, not valid JSON"),
        (b"[]", "damaged, not a JSON object"),
        (b'{"name": "a", "value": 1}', "not written by this version"),
    ],
)
def test_each_fault_has_its_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "sample.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"sample\.json: {message}.*; run stage again$") as caught:
        Sample.read(path, "stage")
    assert "\n" not in str(caught.value)


def test_a_record_of_another_kind_is_refused(tmp_path: Path) -> None:
    class Other(Record):
        name: str
        size: int

    (tmp_path / "a.json").write_text(SAMPLE.text())
    with pytest.raises(UserError, match=r"a\.json: not a record of stage in this version \(size: Field required\)"):
        Other.read(tmp_path / "a.json", "stage")
    with pytest.raises(UserError, match=r"b.json: no such file; run stage first"):
        Sample.read(tmp_path / "b.json", "stage")
    (tmp_path / "c.json").mkdir()
    with pytest.raises(UserError, match=r"c.json: cannot be read \(Is a directory\)"):
        Sample.read(tmp_path / "c.json", "stage")


def test_a_file_must_be_the_one_that_its_record_describes(tmp_path: Path) -> None:
    table, record = tmp_path / "table.csv", tmp_path / "record.json"
    table.write_text("a,b\n1,2\n")
    sha256 = file_sha256(table)
    check(table, sha256, record, "stage")
    table.write_text("a,b\n1,3\n")
    with pytest.raises(UserError, match=r"table\.csv: not the file that .*record\.json describes: .*; run stage again"):
        check(table, sha256, record, "stage")
    table.unlink()
    with pytest.raises(UserError, match=r"table.csv: no such file; run stage first"):
        check(table, sha256, record, "stage")
