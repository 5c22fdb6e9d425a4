from pathlib import Path

import numpy as np
import pytest

from mfr.runtime.resume import Parts


def test_pieces_come_back_as_they_were(tmp_path: Path) -> None:
    arrays = {"rows": np.arange(12, dtype=np.float16).reshape(3, 4).T, "start_s": np.array([0.5], np.float32)}
    Parts(tmp_path / "parts", "key").put("0", arrays)
    again = Parts(tmp_path / "parts", "key")
    assert "0" in again and "1" not in again
    for name, array in again.get("0").items():
        assert array.dtype == arrays[name].dtype
        np.testing.assert_array_equal(array, arrays[name])


def test_pieces_of_another_job_are_deleted(tmp_path: Path) -> None:
    Parts(tmp_path / "parts", "key").put("0", {"rows": np.zeros(1)})
    assert "0" not in Parts(tmp_path / "parts", "other")
    assert "0" not in Parts(tmp_path / "parts", "key")


def test_a_piece_that_was_cut_off_is_not_there(tmp_path: Path) -> None:
    parts = Parts(tmp_path / "parts", "key")
    (tmp_path / "parts" / ".0.safetensors.part").write_bytes(b"half")
    assert "0" not in parts
    with pytest.raises(FileNotFoundError):
        parts.get("0")


def test_nothing_is_left_when_the_job_is_done(tmp_path: Path) -> None:
    parts = Parts(tmp_path / "parts", "key")
    parts.put("0", {"rows": np.zeros(1)})
    parts.delete()
    assert list(tmp_path.iterdir()) == []
