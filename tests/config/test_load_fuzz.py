"""Mutations of params/default.yaml: each is refused in plain lines, or read as DVC reads it. MFR_FUZZ sets their number."""

import os
import random
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from dvc.utils.serialize import parse_yaml
from ruamel.yaml import YAML

from mfr.config.load import read_text
from mfr.runtime.errors import UserError
from tests.conftest import ROOT

CASES = int(os.environ.get("MFR_FUZZ", "500"))
DEFAULT = (ROOT / "params" / "default.yaml").read_text()
SCALARS = [
    *("010", "0o17", "0x1F", "0b11", "08", "1:30", "1e-3", "1e3", "1.5e3", "1_000", "1_0.5", "-0", "+1", ".5", "1.", "-1", "0"),
    *(
        "yes",
        "No",
        "on",
        "OFF",
        "y",
        "true",
        "null",
        "~",
        "Null",
        "",
        "''",
        '" "',
        "=",
        "<<",
        ".inf",
        ".nan",
        "9" * 50,
        "9" * 5000,
    ),
    *(
        "2020-01-01",
        "2020-13-45",
        "2020-01-01 10:00:00+01:00",
        "$HOME/x",
        "[1, 2]",
        "[]",
        "{}",
        "{a: 1}",
        "[[[]]]",
        "!!str 5",
        "!x 5",
    ),
    *(
        "&a 1",
        "*a",
        "&a [*a]",
        "| x",
        "'a\n\nb'",
        "\ufeff",
        "é",
        "\u2028",
        "a: b",
        "# x",
        "%YAML 1.1",
        "---",
        "\t",
        "@",
        "`",
        "2**3",
    ),
]
ODD: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1.5,
    10**40,
    1e300,
    float("nan"),
    "",
    " ",
    "x",
    [],
    [1],
    {},
    {"a": {}},
    ["x", 1],
    "01",
]


def of_text(draw: random.Random, lines: list[str]) -> str:
    """The text with one odd place."""
    at, other = draw.randrange(len(lines)), draw.randrange(len(lines))
    kind = draw.choice(["flip", "twice", "swap", "indent", "value", "value", "value", "cut", "drop", "key"])
    name, colon, _ = lines[at].partition(":")
    if kind == "flip":
        data = bytearray("\n".join(lines).encode())
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        return data.decode(errors="replace")
    if kind == "cut":
        text = "\n".join(lines)
        return text[: draw.randrange(len(text))]
    if kind == "twice":
        lines.insert(other, lines[at])
    elif kind == "swap":
        lines[at], lines[other] = lines[other], lines[at]
    elif kind == "indent":
        lines[at] = draw.choice(["  ", " ", "\t", "- ", "? "]) + lines[at]
    elif kind == "value":
        lines[at] = f"{name}{colon or ':'} {draw.choice(SCALARS)}"
    elif kind == "key":
        lines[at] = lines[at].replace(name.strip(), draw.choice(SCALARS), 1)
    else:
        del lines[at]
    return "\n".join(lines)


def of_tree(draw: random.Random, lines: list[str]) -> str:
    """The text after a value or key of its content was exchanged."""
    content = parse_yaml("\n".join(lines), "default.yaml")
    places = list(_places(content))
    where, key = draw.choice(places)
    kind = draw.choice(["odd", "odd", "swap", "rename", "text"])
    if kind == "odd":
        where[key] = draw.choice(ODD)
    elif kind == "swap":
        other, name = draw.choice(places)
        where[key], other[name] = other[name], where[key]
    elif kind == "text":
        where[key] = str(where[key])
    elif isinstance(where, dict):
        where[draw.choice([*map(str, SCALARS), 1, None, True])] = where.pop(key)
    written = StringIO()
    writer = YAML(typ="safe")
    writer.representer.ignore_aliases = lambda _: True
    writer.dump(content, written)
    return written.getvalue()


def _places(node: Any) -> Any:
    for key in range(len(node)) if isinstance(node, list) else list(node) if isinstance(node, dict) else ():
        yield node, key
        yield from _places(node[key])


def agrees(ours: Any, theirs: Any) -> bool:
    """Whether typed values are those of a file: the same kinds, but a whole number may stand for one with decimals."""
    if isinstance(theirs, dict):
        return isinstance(ours, dict) and all(agrees(ours.get(key), value) for key, value in theirs.items())
    if isinstance(theirs, list):
        return isinstance(ours, list) and len(ours) == len(theirs) and all(map(agrees, ours, theirs))
    if type(ours) is float and type(theirs) is int:
        return ours == float(theirs)
    return type(ours) is type(theirs) and ours == theirs


def _outcome(text: str) -> str:
    try:
        found = read_text(text, "params.yaml")
    except UserError as error:
        lines = str(error).split("\n")
        assert all(line.startswith("params.yaml: ") and line.isprintable() and len(line) < 1000 for line in lines), lines
        assert len(set(lines)) == len(lines)
        return "refused"
    theirs = parse_yaml(text, "params.yaml")
    assert found.raw == theirs and agrees(found.typed.model_dump(), theirs)
    return "read"


@pytest.mark.parametrize("mutate", [of_text, of_tree])
def test_a_mutated_file_is_refused_in_plain_lines_or_read_as_dvc_reads_it(
    mutate: Callable[[random.Random, list[str]], str],
) -> None:
    outcomes = set()
    for case in range(CASES // 2):
        text = mutate(random.Random(case), DEFAULT.splitlines())
        try:
            outcomes.add(_outcome(text))
        except BaseException as error:
            error.add_note(f"case {case}:\n{text}")
            raise
    assert outcomes == {"refused", "read"}
