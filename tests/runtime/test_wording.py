from mfr.runtime.wording import counted, listed


def test_one_is_singular_and_every_other_number_plural() -> None:
    assert [counted(n, "file") for n in (0, 1, 2)] == ["0 files", "1 file", "2 files"]


def test_the_first_items_are_listed_and_the_others_counted() -> None:
    assert [listed("abc", most) for most in (2, 3)] == ["a, b, … and 1 more", "a, b, c"]
    assert listed("abc", 1, "; ") == "a; … and 2 more"
