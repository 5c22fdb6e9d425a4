import pytest
from dvc.utils.serialize import parse_yaml

from mfr.config.reader import parse
from mfr.runtime.errors import UserError


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("a: 010", "a: 010 is 8 for some programs, but 10 for others; write 8 or 10 (line 1, column 4)"),
        ("a: -010", "a: -010 is -8 for some programs, but -10 for others; write -8 or -10 (line 1, column 4)"),
        ("a: [1, 0o17]", 'a.1: 0o17 is "0o17" for some programs, but 15 for others; write "0o17" or 15 (line 1, column 8)'),
        ("a: 1:30", 'a: 1:30 is 90 for some programs, but "1:30" for others; write 90 or "1:30" (line 1, column 4)'),
        ("a:\n  b: yes", 'a.b: yes is true for some programs, but "yes" for others; write true or "yes" (line 2, column 6)'),
        ("off: 1", 'off: off is false for some programs, but "off" for others; write false or "off" (line 1, column 1)'),
        ("a: 2020-01-02", 'a: 2020-01-02 is read as a timestamp; write "2020-01-02" with quotes (line 1, column 4)'),
        ("a: 2020-13-45", 'a: 2020-13-45 is read as a timestamp; write "2020-13-45" with quotes (line 1, column 4)'),
        ("a: =", 'a: = is read as a value; write "=" with quotes (line 1, column 4)'),
        ("a: !!str 5", "a: remove the tag str; only plain values are known here (line 1, column 4)"),
        ("a: !mine {b: 1}", "a: remove the tag !mine; only plain values are known here (line 1, column 4)"),
        ("a: 1\nb: 2\na: 1", "a: given twice, first in line 1; keep one (line 3, column 1)"),
        ("1: a", '1: a name must be text, but this is 1; write "1" (line 1, column 1)'),
        ("null: a", 'null: a name must be text, but this is null; write "null" (line 1, column 1)'),
        ("[a, b]: c", "file: a list or section cannot be a name; write a word before the colon (line 1, column 1)"),
        ("a: &b [*b]", "a.0: an alias makes it contain itself; write the values out (line 1, column 4)"),
    ],
)
def test_what_programs_read_differently_is_refused_with_what_to_write(text: str, mistake: str) -> None:
    assert [f"{key}: {message}" for key, message in parse(text, "x").mistakes.items()] == [mistake]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [1", "expected ',' or ']', but got '<stream end>' (line 1, column 6)"),
        ("a:\n\tb: 1", "found character '\\t' that cannot start any token; indent with spaces (line 2, column 1)"),
        ("a: 1\n---\nb: 1", "more than one document; remove the line --- (line 2, column 1)"),
        ("a: 1\nb: \0", "unacceptable character #x0000: special characters are not allowed (line 2)"),
        ("a: " + "[" * 3000, "sections are nested too deeply"),
        ("a: " + "9" * 5000, "Exceeds the limit (4300 digits) for integer string conversion: value has 5000 digits"),
    ],
)
def test_what_is_not_yaml_is_one_line(text: str, problem: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(text, "x.yaml")
    assert str(caught.value) == f"x.yaml: not valid YAML: {problem}"


@pytest.mark.parametrize(
    "text",
    [
        *("a: 1e-3", "a: 1e3", "a: 1.5E+3", "a: 1_000", "a: 0x1F", "a: .5", "a: .inf", "a: ~", "a: 'yes'", "'on': \"010\""),
        *(
            "\ufeffa: 1",
            "a: 1\r\nb: 2\r\n",
            "a: &b {c: 1}\nd: {<<: *b, e: 2}",
            "a: &b 1\nc: [*b, *b]",
            "a: |\n  two\n  lines",
            "",
        ),
    ],
)
def test_what_is_beyond_doubt_is_read_as_dvc_reads_it(text: str) -> None:
    document = parse(text, "x")
    assert document.mistakes == {} and (document.raw or {}) == parse_yaml(text, "x")


def test_a_small_file_of_many_aliases_takes_no_time() -> None:
    levels = [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]" for i in range(1, 40)]
    assert parse("\n".join(["l0: &l0 yes", *levels]), "x").mistakes.keys() == {"l0"}
