"""Read YAML as DVC does, and refuse what other programs would read differently.

DVC reads YAML 1.2 with ruamel.yaml. Most other programs read YAML 1.1, in which `010` is 8, `yes` is true and `1:30` is 90.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

import yaml as yaml_1_1
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, StringMark, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode
from ruamel.yaml.reader import ReaderError

from mfr.runtime.errors import UserError

Place = tuple[str | int, ...]
TAG = "tag:yaml.org,2002:"
TEXT, MERGE = f"{TAG}str", f"{TAG}merge"
READ = {TEXT, f"{TAG}float", f"{TAG}int", f"{TAG}bool", f"{TAG}null"}
LONGEST = 80  # characters of a name or value in a message
EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")


@dataclass
class Document:
    """A YAML file: its content, what is wrong with it by the key's full name, and where each key is."""

    raw: Any = None
    mistakes: dict[str, str] = field(default_factory=dict)
    places: dict[Place, str] = field(default_factory=dict)


def parse(text: str, origin: str) -> Document:
    """Content and mistakes of a YAML text.

    `raw` is what DVC reads. It is None if the mistakes leave no content. Raises `UserError` if the text is not YAML.
    """
    loader = YAML(typ="safe", pure=True)
    document = Document()
    try:
        check = _Check(loader, document)
        if (root := loader.compose(text)) is not None:
            check.visit(root, ())
        if check.has_content:
            document.raw = _content(text, bool(document.mistakes))
    except (YAMLError, ValueError) as error:
        if not document.mistakes:
            raise UserError(f"{origin}: not valid YAML: {_problem(error, text)}") from None
    except RecursionError:
        raise UserError(f"{origin}: not valid YAML: sections are nested too deeply") from None
    return document


def _content(text: str, lenient: bool) -> Any:
    """What DVC reads; `lenient` accepts keys that were already found to be given twice."""
    loader = YAML(typ="safe")
    loader.allow_duplicate_keys = lenient
    return loader.load(text)


class _Check:
    """Collects mistakes and places from the nodes of a document."""

    def __init__(self, loader: YAML, document: Document) -> None:
        self.loader, self.document = loader, document
        self.visited: set[int] = set()
        self.around: set[int] = set()  # what the node at hand is part of
        self.has_content = True  # whether ruamel.yaml can make values of the nodes

    def visit(self, node: Node, path: Place) -> None:
        """Check a node and all that it contains, once even if aliases repeat it."""
        self.document.places.setdefault(path, _place(node))
        if id(node) in self.around:
            self.mistake(node, path, "an alias makes it contain itself; write the values out")
        if id(node) in self.visited:
            return
        self.visited.add(id(node))
        if isinstance(node, ScalarNode):
            self.scalar(node, path)
            return
        if node.tag not in (f"{TAG}map", f"{TAG}seq"):
            self.unreadable(node, path, f"remove the tag {_name(node.tag)}; only plain values are known here")
        self.around.add(id(node))
        if isinstance(node, MappingNode):
            self.names(node, path)
        else:
            for index, value in enumerate(node.value):
                self.visit(value, (*path, index))
        self.around.remove(id(node))

    def names(self, node: MappingNode, path: Place) -> None:
        """Check that a mapping's keys are distinct names, and then its values."""
        lines: dict[str, int] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self.unreadable(key, path, "a list or section cannot be a name; write a word before the colon")
                continue
            where = (*path, key.value)
            if key.value in lines:
                self.mistake(key, where, f"given twice, first in line {lines[key.value]}; keep one")
            elif key.tag != MERGE and self.scalar(key, where) and key.tag != TEXT:
                self.mistake(key, where, f'a name must be text, but this is {_shown(self.value(key))}; write "{key.value}"')
            lines.setdefault(key.value, key.start_mark.line + 1)
            self.document.places.setdefault(where, _place(key))
            self.visit(value, where)

    def scalar(self, node: ScalarNode, path: Place) -> bool:
        """Check that all programs read a scalar as DVC does; returns whether they do."""
        text, plain = node.value, not node.style
        usual = str(self.loader.resolver.resolve(ScalarNode, text, (True, False))) if plain else TEXT
        if node.tag != usual:
            self.unreadable(node, path, f"remove the tag {_name(node.tag)}; only plain values are known here")
        elif node.tag not in READ:
            self.unreadable(node, path, f'{text} is read as a {_name(node.tag)}; write "{text}" with quotes')
        elif plain and not EXPONENT.fullmatch(text) and (other := _in_yaml_1_1(text)) != (ours := _shown(self.value(node))):
            self.mistake(node, path, f"{text} is {other} for some programs, but {ours} for others; write {other} or {ours}")
        else:
            return True
        return False

    def value(self, node: ScalarNode) -> object:
        """What DVC reads a scalar as."""
        value: object = self.loader.constructor.construct_object(node)
        return value

    def unreadable(self, node: Node, path: Place, message: str) -> None:
        """Note a mistake that leaves the file without content."""
        self.has_content = False
        self.mistake(node, path, message)

    def mistake(self, node: Node, path: Place, message: str) -> None:
        """Note a mistake and where it is; the first of each key is enough."""
        self.document.mistakes.setdefault(dotted(path), message + _place(node))


def dotted(path: Place) -> str:
    """A key's full name, such as `synthetic.train.k.0`; `file` for the whole."""
    return ".".join(shortened(part if part.isprintable() else _shown(part)) for part in map(str, path)) or "file"


def shortened(text: str) -> str:
    """A name or value as a message shows it."""
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"


def _in_yaml_1_1(text: str) -> str:
    """What YAML 1.1 makes of a plain scalar, as it is shown."""
    tag = yaml_1_1.resolver.Resolver().resolve(yaml_1_1.ScalarNode, text, (True, False))
    return _shown(yaml_1_1.constructor.SafeConstructor().construct_object(yaml_1_1.ScalarNode(tag, text)))


def _shown(value: object) -> str:
    """A value as JSON, which is also YAML."""
    return json.dumps(value, default=str)


def _name(tag: object) -> str:
    return str(tag).removeprefix(TAG)


def _place(node: Node) -> str:
    return _at(node.start_mark)


def _at(mark: StringMark) -> str:
    return f" (line {mark.line + 1}, column {mark.column + 1})"


def _problem(error: YAMLError | ValueError, text: str) -> str:
    """What is wrong and where, without the excerpt that the parser adds."""
    if isinstance(error, ReaderError):
        before = text[: error.position]
        return f"{str(error).partition(chr(10))[0]} (line {before.count(chr(10)) + 1})"
    if not isinstance(error, MarkedYAMLError) or not error.problem:
        return str(error).partition("\n")[0].partition(";")[0]
    problem: str = error.problem.partition("\n")[0]
    if error.context == "expected a single document in the stream":
        problem = "more than one document; remove the line ---"
    elif "'\\t'" in problem:
        problem += "; indent with spaces"
    return problem + (_at(error.problem_mark) if error.problem_mark else "")
