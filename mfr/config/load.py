"""Read a parameter file, and report every mistake in it."""

import difflib
from pathlib import Path

import yaml
from pydantic import ValidationError

from mfr.config.experiment import Params
from mfr.runtime.errors import UserError


def load(path: Path) -> Params:
    """Read and check a parameter file.

    Raises `UserError`, with one line per mistake, for an unreadable file, an unknown key or a value out of range.
    """
    try:
        raw = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run from the project's folder") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as text ({error})") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {_first_problem(error)}") from None
    return check(raw, str(path))


def check(raw: object, origin: str) -> Params:
    """Typed parameters from `raw`.

    Raises `UserError`, with one line per mistake: `origin`, the key's full name and the mistake.
    """
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        raise UserError("\n".join(f"{origin}: {line}" for line in _explain(error))) from None


def _first_problem(error: yaml.YAMLError) -> str:
    """Line and problem, without the excerpt that the parser adds."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem and error.problem_mark:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return str(error).partition("\n")[0]


def _explain(error: ValidationError) -> list[str]:
    """One line per mistake: the key's full name and what is wrong."""
    lines = []
    for mistake in error.errors():
        where = [str(part) for part in mistake["loc"]]
        message = mistake["msg"].removeprefix("Value error, ")
        if mistake["type"] == "extra_forbidden":
            message = "unknown parameter" + _suggestion(where)
        elif mistake["type"] != "value_error" and not isinstance(mistake["input"], dict):
            message += f", but it is {mistake['input']!r}"
        lines.append(f"{'.'.join(where) or 'file'}: {message}")
    return lines


def _suggestion(where: list[str]) -> str:
    """The known key nearest to an unknown one, or all known keys."""
    known = sorted(known_keys(where[:-1]))
    close = difflib.get_close_matches(where[-1], known, n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; known are {', '.join(known)}"


def known_keys(where: list[str]) -> set[str]:
    """Keys that the section at `where` takes, from the schema; empty if it takes any name."""
    schema = Params.model_json_schema()
    node = schema
    for part in where:
        properties = node.get("properties", {})
        any_name = [*node.get("patternProperties", {}).values(), node.get("additionalProperties")]
        node = properties.get(part) or any_name[0] or {}
        options = [node, *node.get("anyOf", [])]
        reference = next((option["$ref"] for option in options if "$ref" in option), None)
        if reference:
            node = schema["$defs"][reference.rsplit("/", 1)[1]]
    return set(node.get("properties", {}))
