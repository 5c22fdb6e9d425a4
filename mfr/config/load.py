"""Read a parameter file, and report every mistake in it."""

import difflib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from mfr.config.experiment import Params
from mfr.config.reader import Document, Place, dotted, parse, shortened
from mfr.runtime.errors import UserError


@dataclass(frozen=True)
class Parameters:
    """A parameter file: its content as DVC reads it, and the typed parameters."""

    raw: dict[str, Any]
    typed: Params


def load(path: Path) -> Params:
    """Typed parameters of a file.

    Raises `UserError`, with one line per mistake, for an unreadable file, an unknown key or a value out of range.
    """
    return read(path).typed


def read(path: Path) -> Parameters:
    """Content and typed parameters of a file; raises `UserError` as `load` does."""
    return read_text(text_of(path), str(path))


def read_text(text: str, origin: str) -> Parameters:
    """Content and typed parameters of a file's text; raises `UserError` as `load` does."""
    return Parameters((document := parse(text, origin)).raw, _typed(document, origin))


def content(text: str, origin: str) -> Any:
    """Content of a file's text, whatever its keys and values mean; raises `UserError` for mistakes of YAML."""
    document = parse(text, origin)
    _refuse(document.mistakes, origin)
    return document.raw


def check(raw: object, origin: str) -> Params:
    """Typed parameters of a file's content; raises `UserError`, with one line per mistake."""
    return _typed(Document(raw), origin)


def text_of(path: Path) -> str:
    """Text of a file, as DVC decodes it; raises `UserError` if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run from the project's folder") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as text ({error})") from None


def _typed(document: Document, origin: str) -> Params:
    """Typed parameters of a document; raises `UserError` with its mistakes, and with those of its content."""
    mistakes = dict(document.mistakes)
    try:
        if document.raw is not None or not mistakes:
            params = Params.model_validate(document.raw)
    except ValidationError as error:
        mistakes = _explain(error, document) | mistakes
    _refuse(mistakes, origin)
    return params


def _refuse(mistakes: Mapping[str, str], origin: str) -> None:
    """Raise `UserError` with one line per mistake, if there are any."""
    if mistakes:
        lines = (f"{origin}: {key}: {message}" for key, message in mistakes.items())
        raise UserError("\n".join(" ".join(line.split()) for line in lines))


def _explain(error: ValidationError, document: Document) -> dict[str, str]:
    """What is wrong and where, by the key's full name."""
    found: dict[Place, list[ErrorDetails]] = defaultdict(list)
    for mistake in error.errors():
        found[_path(mistake, document.raw)].append(mistake)
    # Of a value that may be one thing or a list, only the mistakes in the list are shown if it is one.
    deepest = [path for path in found if not any(other[: len(path)] == path for other in found.keys() - {path})]
    return {dotted(path): _message(path, found[path]) + document.places.get(path, "") for path in deepest}


def _path(mistake: ErrorDetails, raw: object) -> Place:
    """Where a mistake is, without the kinds of values that pydantic tried there."""
    path: Place = ()
    for part in mistake["loc"]:
        inside = raw.keys() if isinstance(raw, dict) else range(len(raw)) if isinstance(raw, list) else ()
        if part in inside:
            path, raw = (*path, part), raw[part]  # type: ignore[index]
    return (*path, mistake["loc"][-1]) if mistake["type"] == "missing" else path


def _message(path: Place, mistakes: Sequence[ErrorDetails]) -> str:
    """What is wrong with one value: several mistakes are of the kinds of values that it may have."""
    first = mistakes[0]
    if first["type"] == "extra_forbidden":
        return "unknown parameter" + _suggestion([str(part) for part in path])
    if first["type"] == "value_error":
        return first["msg"].removeprefix("Value error, ")
    message = first["msg"].partition(" or instance of ")[0] + "".join(
        f", or {other['msg'].removeprefix('Input should be ')}" for other in mistakes[1:]
    )
    value = first["input"]
    if isinstance(value, dict):
        return message
    shown = "a list" if isinstance(value, list) else repr(value)
    return f"{message}, but it is {shortened(shown)}"


def _suggestion(where: list[str]) -> str:
    """The known key nearest to an unknown one, or all known keys."""
    known = sorted(known_keys(where[:-1]))
    close = difflib.get_close_matches(where[-1], known, n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; known are {', '.join(known)}"


def known_keys(where: list[str]) -> set[str]:
    """Keys that the section at `where` takes, from the schema; empty if it takes any name."""
    schema = _schema()
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


@cache
def _schema() -> dict[str, Any]:
    return Params.model_json_schema()
