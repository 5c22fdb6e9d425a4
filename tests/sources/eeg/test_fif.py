import gzip

import pytest

from mfr.runtime.errors import UnusableError
from mfr.sources.eeg.fif import check_first
from tests.support.recording_files import noise, write_fif


def test_only_continuations_are_refused(tmp_path):
    path = write_fif(tmp_path / "long_raw.fif", {"C3": noise(300, 1024), "C4": noise(300, 1024)}, 1024, split_size="2MB")
    check_first(path)
    check_first(write_fif(tmp_path / "short_raw.fif.gz", {"C3": noise(10)}))
    continuation = (tmp_path / "long_raw-1.fif").read_bytes()
    (tmp_path / "renamed_raw.fif").write_bytes(continuation)
    (tmp_path / "packed_raw.fif.gz").write_bytes(gzip.compress(continuation, 1))
    for name in ("long_raw-1.fif", "renamed_raw.fif", "packed_raw.fif.gz"):
        with pytest.raises(UnusableError, match=r"first part is missing or unusable: long_raw.fif$"):
            check_first(tmp_path / name)


def test_a_damaged_file_is_left_to_its_reader(tmp_path):
    whole = write_fif(tmp_path / "a_raw.fif", {"C3": noise(10)}).read_bytes()
    for name, content in {"a.fif": b"", "b.fif": b"no recording" * 20, "c.fif.gz": whole, "d.fif": whole[:100]}.items():
        (tmp_path / name).write_bytes(content)
        check_first(tmp_path / name)
