from mfr.runtime.wording import counted


def test_one_is_singular_and_every_other_number_plural() -> None:
    assert [counted(n, "file") for n in (0, 1, 2)] == ["0 files", "1 file", "2 files"]
