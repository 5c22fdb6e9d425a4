import numpy as np

from mfr.sources.eeg.duplicates import identical


def test_copies_are_paired_with_the_first_and_near_copies_are_not(tmp_path):
    content = bytearray(np.random.default_rng(0).bytes(1 << 20))
    other = bytes(content[:300_000]) + b"x" + bytes(content[300_001:])  # differs where no sample of bytes is taken
    contents = [content, b"short", other, content, b"Short", content]
    for n, each in enumerate(contents):
        (tmp_path / str(n)).write_bytes(each)
    assert identical({n: [tmp_path / str(n)] for n in range(6)}) == [(0, 3), (0, 5)]
    assert identical({}) == []


def test_two_headers_of_one_file_of_samples_are_one_recording(tmp_path):
    for name in ("a.vhdr", "b.vhdr", "a.eeg"):
        (tmp_path / name).write_text(name)
    assert identical({n: [tmp_path / name, tmp_path / "a.eeg"] for n, name in enumerate(("a.vhdr", "b.vhdr"))}) == [(0, 1)]
