"""The documents that a language model reads, split into training and held-out documents."""

import ast
import hashlib
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined, unused-ignore]  # not re-exported
from pydantic import BaseModel

from mfr.config.language_model import Text
from mfr.runtime.errors import UserError
from mfr.sources.language_model.hub import commit_of
from mfr.sources.language_model.text_files import ROWS, content, paragraphs, readable, text_of
from mfr.sources.manifest import HashedFile, sha256, visible

Split = Literal["train", "heldout"]
Document = tuple[str, Callable[[], str]]

INSTALLED, HUB = "installed_documentation", "hub:"
SHORTEST_MODULE = 200
TEST_FOLDERS = {"test", "tests"}
DEFINITIONS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


class TextManifest(BaseModel):
    """Which text is read: the commit of a hub data set, or the path and hash of every file.

    Paths are those in the documents' names.
    """

    revision: str | None = None
    files: list[HashedFile] = []


def pin(text: Text) -> TextManifest:
    """The current state of the text that `text` names.

    Raises `UserError` if it is missing or cannot be read.
    """
    if text.text.startswith(HUB):
        return TextManifest(revision=commit_of(text.text.removeprefix(HUB), "dataset"))
    return TextManifest(files=[_hashed(name, path) for name, path in sorted(_files(text))])


def _hashed(name: str, path: Path) -> HashedFile:
    with readable(path):
        return HashedFile(path=name, bytes=path.stat().st_size, sha256=sha256([path]))


def documents(text: Text, split: Split, revision: str | None = None) -> Iterator[str]:
    """The documents of one split, read one by one as they are requested.

    The hash of a document's name decides its split, whatever the other documents are; names also fix the order. `revision`
    is the commit of a hub data set (default: the newest). Raises `UserError` if the text is missing or unreadable, or at the
    end if the split has no document.
    """
    empty = True
    for name, read in _named(text, revision):
        if is_heldout(name, text.heldout_share) == (split == "heldout"):
            content = read()
            if content.strip():
                empty = False
                yield content
    if empty:
        raise UserError(
            f"text.text: {text.text} has no {split} document at heldout_share = {text.heldout_share}; "
            "add documents, or change the share"
        )


def is_heldout(name: str, share: float) -> bool:
    """Whether the document `name` is held out, which has probability `share`."""
    return _digest(name) < share * 2**64


def docstrings(source: str) -> str:
    """Docstrings of a module, its classes and functions, in order, joined by empty lines.

    Empty if `source` is not valid Python; some packages ship templates with the suffix `.py`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            module = ast.parse(source)
        except (SyntaxError, ValueError):
            return ""
    return "\n\n".join(_docstrings(module))


def _docstrings(node: ast.AST) -> Iterator[str]:
    if isinstance(node, (ast.Module, *DEFINITIONS)) and (docstring := ast.get_docstring(node)):
        yield docstring
    for child in ast.iter_child_nodes(node):
        # Definitions are statements, so expressions, the larger part of a tree, are skipped.
        if isinstance(child, (ast.stmt, ast.ExceptHandler)):
            yield from _docstrings(child)


def _named(text: Text, revision: str | None) -> Iterator[Document]:
    if text.text.startswith(HUB):
        return _hub(text.text.removeprefix(HUB), text.column, revision)
    files = sorted(_files(text), key=_hash_order)
    if text.text == INSTALLED:
        return ((name, partial(_documentation, path)) for name, path in files)
    if Path(text.text).expanduser().is_dir():
        return _folder(files, text.column)
    return _file(files[0][1], text.column)


def _files(text: Text) -> list[tuple[str, Path]]:
    """The files that are read, each with its name.

    The name is the path below the folder, or starts with the name of the package.
    """
    if text.text == INSTALLED:
        return [module for package in text.packages for module in _modules(package)]
    path = Path(text.text).expanduser()
    with readable(path):
        if path.is_dir():
            return [(file.relative_to(path).as_posix(), file) for file in visible(path)]
        if path.is_file():
            return [(path.name, path)]
    raise UserError(
        f"text.text: {text.text!r} is neither a file nor a folder; give the path of one, installed_documentation or hub:NAME"
    )


def _folder(files: list[tuple[str, Path]], column: str) -> Iterator[Document]:
    for name, path in files:
        if read := ROWS.get(path.suffix.lower()):
            yield from _numbered(f"{name} row", read(path, column))
        else:
            yield name, partial(content, path)


def _file(path: Path, column: str) -> Iterator[Document]:
    if read := ROWS.get(path.suffix.lower()):
        return _numbered("row", read(path, column))
    return _numbered("paragraph", paragraphs(path))


def _numbered(kind: str, texts: Iterable[str]) -> Iterator[Document]:
    for number, text in enumerate(texts):
        yield f"{kind} {number}", partial(str, text)


def _hash_order(named: tuple[str, object]) -> int:
    # Packages and folders are mixed, so that the first part of the text has something of each.
    return _digest("order:" + named[0])


def _modules(package: str) -> Iterator[tuple[str, Path]]:
    spec = find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"text.packages: no package {package!r} is installed; install it, or remove it from the list")
    for folder in map(Path, spec.submodule_search_locations):
        for file in folder.rglob("*.py"):
            relative = file.relative_to(folder)
            if TEST_FOLDERS.isdisjoint(relative.parts):
                yield f"{package}/{relative.as_posix()}", file


def _documentation(file: Path) -> str:
    found = docstrings(file.read_text(encoding="utf-8", errors="replace"))
    return found if len(found) >= SHORTEST_MODULE else ""


def _hub(name: str, column: str, revision: str | None) -> Iterator[Document]:
    commit = revision or commit_of(name, "dataset")
    # Imported here because it takes a second, and only hub data sets need it.
    from datasets import load_dataset_builder

    try:
        data = load_dataset_builder(name, revision=commit)
        # datasets prefers a local folder of that name, and falls back to an older download if the hub does not answer.
        if data.hash != commit:
            raise UserError(
                f"text.text: hub:{name}: found a local folder or older copy, not commit {commit}; "
                "move a folder of that name, or try again with network access"
            )
        for number, row in enumerate(data.as_streaming_dataset("train")):
            yield f"row {number}", partial(str, text_of(row, column, f"row {number} of hub:{name}"))
    except (OSError, HTTPError, ValueError) as error:
        first_line = str(error).partition("\n")[0]
        raise UserError(f"text.text: hub:{name}: cannot be streamed ({first_line}); try again, or name another text") from None


def _digest(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
