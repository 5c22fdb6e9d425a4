from pathlib import Path

import numpy as np
import pytest

from mfr.runtime.errors import UnusableError
from mfr.sources.eeg import edf_samples
from mfr.sources.eeg.edf import read_header
from tests.support.recording_files import noise, write_bdf, write_edf, write_edf_plus

STAMP = b"+%d\x14\x14\x00"


@pytest.fixture(params=[1 << 24, 100])
def plus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """An EDF+ file of ten records, which is read in one block or in many."""
    monkeypatch.setattr(edf_samples, "BLOCK_BYTES", request.param)
    return write_edf_plus(tmp_path / "a.edf", {"C3": noise(10), "C4": noise(10, seed=1)})


def check(path: Path, old: bytes = b"", new: bytes = b"", count: int = -1) -> None:
    data = path.read_bytes()
    assert old in data and len(old) == len(new)
    path.write_bytes(data.replace(old, new, count) if old else data)
    edf_samples.check(path, read_header(path))


def test_sound_files_pass(plus, tmp_path):
    check(plus)
    check(write_edf(tmp_path / "b.edf", {"C3": noise(10)}))
    check(write_bdf(tmp_path / "b.bdf", {"C3": noise(10)}))
    check(write_edf(tmp_path / "c.edf", {"C3": np.zeros(2560)}))


def test_a_record_may_have_no_annotations(plus):
    check(plus, STAMP % 3, bytes(5))


def test_a_missing_stamp_is_damage(plus):
    with pytest.raises(UnusableError, match=r"damaged: 2 of 10 data records have no time stamp at its place, .* record 4"):
        plus.write_bytes(plus.read_bytes().replace(STAMP % 3, b"xxxxx"))
        check(plus, STAMP % 7, b"+7\x14\x15\0", 1)


def test_a_jump_in_the_stamps_is_a_gap(plus):
    with pytest.raises(UnusableError, match="gap between data records: record 6 begins at 8 s, not at 5 s"):
        check(plus, STAMP % 5, STAMP % 8, 1)


def test_a_value_one_step_beyond_the_range_is_a_habit_of_headers_and_more_is_damage(plus):
    header = read_header(plus)
    whole = plus.read_bytes()
    for value, allowed in ((-8193, True), (8192, True), (-8194, False), (8193, False)):
        at = header.header_bytes + 2 * 256 + 20
        plus.write_bytes(whole[:at] + np.int16(value).tobytes() + whole[at + 2 :])
        edf_samples.reader(plus, header, [0], [1e-6])(0, 2560)
        read = edf_samples.reader(plus, header, [0, 1], [1e-6, 1e-6])
        if allowed:
            assert read(0, 2560).shape == (2, 2560)
            continue
        with pytest.raises(UnusableError, match=f"values outside the digital range: C4 .*{value}.* -8192 to 8191"):
            read(0, 2560)
