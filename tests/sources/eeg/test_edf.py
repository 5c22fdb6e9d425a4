from fractions import Fraction

import pytest

from mfr.runtime.errors import UnusableError
from mfr.sources.eeg.edf import read_header
from tests.support.recording_files import noise, set_field, write_bdf, write_edf


@pytest.mark.parametrize(("write", "size"), [(write_edf, 2), (write_bdf, 3)])
def test_a_header_tells_the_length_of_the_file(tmp_path, write, size):
    path = write(tmp_path / "a", {"EEG C3-REF": noise(12), "C4": noise(12)})
    header = read_header(path)
    assert header.labels == ["EEG C3-REF", "C4"] and header.units == ["uV", "uV"]
    assert [scale.fault for scale in header.scales] == ["", ""]
    assert (header.samples, header.records, header.record_s, header.sample_bytes) == ([256, 256], 12, 1, size)
    assert header.file_bytes == path.stat().st_size == 768 + 12 * 512 * size


def test_records_of_broken_length_give_an_exact_rate(tmp_path):
    path = write_edf(tmp_path / "a.edf", {"C3": noise(10)})
    data = bytearray(path.read_bytes())
    data[244:252] = b"1.024   "
    path.write_bytes(data)
    assert 256 / read_header(path).record_s == Fraction(250)


@pytest.mark.parametrize("write", [write_edf, write_bdf])
def test_a_truncated_file_is_refused_to_the_byte(tmp_path, write):
    path = write(tmp_path / "a", {"C3": noise(10)})
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(UnusableError, match=f"cut short: {len(whole) - 1} of {len(whole)} bytes"):
        read_header(path)


@pytest.mark.parametrize(
    ("at", "content"),
    [
        (252, b"abc "),
        (252, b"0   "),
        (236, b"-2      "),
        (244, b"1e999   "),
        (244, b"9e99999 "),
        (252, b"9999"),
        (244, b"0       "),
        (184, b"9999    "),
        (192, b"EDF+D"),
        (472, b"0       "),
    ],
)
def test_a_corrupt_header_is_refused(tmp_path, at, content):
    path = write_edf(tmp_path / "a.edf", {"C3": noise(10)})
    data = bytearray(path.read_bytes())
    data[at : at + len(content)] = content
    path.write_bytes(data)
    with pytest.raises(UnusableError, match="no valid EDF or BDF header"):
        read_header(path)


@pytest.mark.parametrize("write", [write_edf, write_bdf])
def test_a_file_that_is_too_long_is_refused_unless_zeros_follow(tmp_path, write):
    path = write(tmp_path / "a", {"C3": noise(10)})
    whole = path.read_bytes()
    path.write_bytes(whole + bytes(1000))
    assert read_header(path).records == 10
    path.write_bytes(whole + bytes(999) + b"x")
    with pytest.raises(UnusableError, match=f"longer than its header says: {len(whole) + 1000} instead of {len(whole)} bytes"):
        read_header(path)


@pytest.mark.parametrize("write", [write_edf, write_bdf])
def test_an_unknown_number_of_records_is_inferred_without_a_partial_last_one(tmp_path, write):
    path = write(tmp_path / "a", {"C3": noise(10)})
    set_field(path, "records", b"-1")
    assert read_header(path).records == 10
    path.write_bytes(path.read_bytes()[:-1])
    assert read_header(path).records == 9
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(UnusableError, match="0 data records"):
        read_header(path)


@pytest.mark.parametrize("content", [b"", b"not an EDF file" * 100])
def test_what_is_no_edf_file_is_refused(tmp_path, content):
    path = tmp_path / "a.edf"
    path.write_bytes(content)
    with pytest.raises(UnusableError, match="no valid EDF or BDF header"):
        read_header(path)
