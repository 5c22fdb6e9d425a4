from pathlib import Path

import pytest

from mfr.runtime.errors import UserError
from mfr.runtime.resume import Parts


def test_pieces_come_back_as_they_were(tmp_path: Path) -> None:
    Parts(tmp_path / "parts", "key").put("0", b"rows\0")
    again = Parts(tmp_path / "parts", "key")
    assert "0" in again and "1" not in again and again.get("0") == b"rows\0"


def test_pieces_of_another_job_are_deleted(tmp_path: Path) -> None:
    Parts(tmp_path / "parts", "key").put("0", b"rows")
    assert "0" not in Parts(tmp_path / "parts", "other")
    assert "0" not in Parts(tmp_path / "parts", "key")


def test_a_piece_that_was_cut_off_is_not_there(tmp_path: Path) -> None:
    parts = Parts(tmp_path / "parts", "key")
    parts.put("0", b"rows")
    whole = next((tmp_path / "parts").glob("0*"))
    whole.rename(whole.with_name(f".{whole.name}.part"))
    assert "0" not in parts
    with pytest.raises(UserError, match="damaged or gone"):
        parts.get("0")


def test_nothing_is_left_when_the_job_is_done(tmp_path: Path) -> None:
    parts = Parts(tmp_path / "parts", "key")
    parts.put("0", b"rows")
    parts.delete()
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_piece_counts_as_absent(tmp_path: Path) -> None:
    parts = Parts(tmp_path / "parts", "key")
    parts.put("0", b"rows")
    place = tmp_path / "parts" / "0.part"
    whole = place.read_bytes()
    for content in (*(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(len(whole))), b"", whole[1:]):
        place.write_bytes(content)
        assert "0" not in parts
    parts.put("0", b"rows")
    assert "0" in parts


def test_a_piece_in_the_place_of_another_counts_as_absent(tmp_path: Path) -> None:
    parts, other = Parts(tmp_path / "parts", "key"), Parts(tmp_path / "other", "another key")
    for made in (parts, other):
        made.put("0", b"rows")
        made.put("1", b"rows")
    (tmp_path / "parts" / "0.part").replace(tmp_path / "parts" / "1.part")
    (tmp_path / "other" / "0.part").replace(tmp_path / "parts" / "0.part")
    assert "0" not in parts and "1" not in parts


def test_a_damaged_key_deletes_the_pieces(tmp_path: Path) -> None:
    Parts(tmp_path / "parts", "key").put("0", b"rows")
    (tmp_path / "parts" / "key").write_bytes(b"\xff")
    assert "0" not in Parts(tmp_path / "parts", "key")
