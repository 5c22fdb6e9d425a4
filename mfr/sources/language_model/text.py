"""The documents that a language model reads, split into training and held-out documents."""

import ast
import hashlib
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined, unused-ignore]  # not re-exported
from pydantic import BaseModel

from mfr.config.language_model import Text
from mfr.runtime.errors import UserError, first_sentence
from mfr.runtime.paths import expanded
from mfr.runtime.records import file_sha256
from mfr.sources.language_model.hub import commit_of
from mfr.sources.language_model.text_files import content, kind, paragraphs, readable, unfit
from mfr.sources.language_model.text_rows import ROWS, text_of
from mfr.sources.manifest import HashedFile, LeftOut, summary, unusable, walk

Split = Literal["train", "heldout"]
Document = tuple[str, Callable[[], str]]

INSTALLED, HUB = "installed_documentation", "hub:"
SHORTEST_MODULE = 200
TEST_FOLDERS = {"test", "tests"}
LONE_SURROGATE = re.compile("[\ud800-\udfff]")
DEFINITIONS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


class TextManifest(BaseModel):
    """Which text is read: the commit of a hub data set, or the path and hash of every file and what is left out.

    Paths are those in the documents' names.
    """

    revision: str | None = None
    files: list[HashedFile] = []
    left_out: list[LeftOut] = []


class TextFiles(NamedTuple):
    """The files that are read, each with its name in the documents' names, and what is left out."""

    files: list[tuple[str, Path]]
    left_out: list[LeftOut]


def pin(text: Text, found: TextFiles) -> TextManifest:
    """The current state of a text, whose files are `found`.

    Raises `UserError` if a file or the hub's data set cannot be read.
    """
    if text.text.startswith(HUB):
        return TextManifest(revision=commit_of(text.text.removeprefix(HUB), "dataset"))
    return TextManifest(files=[_hashed(name, path) for name, path in sorted(found.files)], left_out=found.left_out)


def report(found: TextFiles) -> None:
    """Print one line on stderr about the files of a text that are left out."""
    files, left_out = found
    if left_out:
        total = len(files) + len(left_out)
        print(f"text.text: {len(left_out)} of {total} files left out: {summary(left_out)}", file=sys.stderr)


def _hashed(name: str, path: Path) -> HashedFile:
    with readable(path):
        return HashedFile(path=name, bytes=path.stat().st_size, sha256=file_sha256(path))


def documents(text: Text, found: TextFiles, split: Split, revision: str | None = None) -> Iterator[str]:
    """The documents of one split of a text, read one by one as they are requested.

    `found` are the text's files. The hash of a document's name decides its split, whatever the other documents are; names also
    fix the order. `revision` is the commit of a hub data set (default: the newest). Reading ends with a line on stderr if
    documents without text were skipped or lone surrogates replaced by U+FFFD. Raises `UserError` if the text is unreadable, or
    at the end if the split has no document.
    """
    read, skipped, replaced = 0, 0, 0
    try:
        for name, load in _named(text, found, revision):
            if is_heldout(name, text.heldout_share) == (split == "heldout"):
                content, lone = _encodable(load())
                replaced += lone
                if content.strip():
                    read += 1
                    yield content
                elif text.text != INSTALLED:
                    skipped += 1
    finally:
        _say(split, skipped, replaced)
    if not read:
        raise UserError(
            f"text.text: {text.text} has no {split} document at heldout_share = {text.heldout_share}; "
            "add documents, or change the share"
        )


def _encodable(content: str) -> tuple[str, int]:
    """`content` with U+FFFD for lone surrogates, which JSON can spell but no encoding has, and their number."""
    try:
        content.encode()
    except UnicodeEncodeError:
        return LONE_SURROGATE.subn("\ufffd", content)
    return content, 0


def _say(split: Split, skipped: int, replaced: int) -> None:
    counts = {"documents without text skipped": skipped, "lone surrogates replaced by U+FFFD": replaced}
    if said := [f"{count} {what}" for what, count in counts.items() if count]:
        print(f"text.text: {split}: {', '.join(said)}", file=sys.stderr)


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


def text_files(text: Text) -> TextFiles:
    """The files of a text, none for a hub data set.

    A stage lists them once, so that it reports, pins and reads the same files. In a folder, a file is left out with a reason
    if it is not here (a link to nothing, a git-annex or git-lfs pointer), cannot be opened, is empty, or is no text by its
    name or beginning (an image, a PDF, an archive, a web page named as rows). Raises `UserError` if nothing is left, and for
    such a file that is named itself. A fault within a text ends its reading instead.
    """
    if text.text.startswith(HUB):
        return TextFiles([], [])
    if text.text == INSTALLED:
        return _installed(text.packages)
    path = _path(text.text)
    if not path.is_dir():
        if reason := unusable(path) or unfit(path):
            raise UserError(f"text.text: {path}: {reason}")
        return TextFiles([(path.name, path)], [])
    found = walk(path)
    reasons = {file: unfit(file) for file in found.files}
    named = [(file.relative_to(path).as_posix(), file) for file in found.files]
    left_out = [LeftOut(path=name, reason=reasons[file]) for name, file in named if reasons[file]]
    left_out = sorted(found.left_out + left_out, key=lambda each: each.path)
    files = [(name, file) for name, file in named if not reasons[file]]
    if not files:
        what = f"that can be read as text: {summary(left_out)}" if left_out else "that is not hidden; add text files"
        raise UserError(f"text.text: {text.text} contains no file {what}")
    return TextFiles(files, left_out)


def _path(text: str) -> Path:
    path = expanded(text)
    with readable(path):
        # A link to nothing is reported as such later.
        if path.exists() or path.is_symlink():
            return path
    raise UserError(
        f"text.text: {text!r} is neither a file nor a folder; give the path of one, installed_documentation or hub:NAME"
    )


def _installed(packages: list[str]) -> TextFiles:
    modules = [(name, path, unusable(path)) for package in packages for name, path in _modules(package)]
    left_out = [LeftOut(path=name, reason=reason) for name, _, reason in modules if reason]
    return TextFiles([(name, path) for name, path, reason in modules if not reason], left_out)


def _modules(package: str) -> Iterator[tuple[str, Path]]:
    spec = find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"text.packages: no package {package!r} is installed; install it, or remove it from the list")
    for folder in map(Path, spec.submodule_search_locations):
        for file in folder.rglob("*.py"):
            relative = file.relative_to(folder)
            if TEST_FOLDERS.isdisjoint(relative.parts):
                yield f"{package}/{relative.as_posix()}", file


def _named(text: Text, found: TextFiles, revision: str | None) -> Iterator[Document]:
    if text.text.startswith(HUB):
        return _hub(text.text.removeprefix(HUB), text.column, revision)
    files = sorted(found.files, key=_hash_order)
    if text.text == INSTALLED:
        return ((name, partial(_documentation, path)) for name, path in files)
    if _path(text.text).is_dir():
        return _folder(files, text.column)
    return _file(files[0][1], text.column)


def _folder(files: list[tuple[str, Path]], column: str) -> Iterator[Document]:
    for name, path in files:
        if read := ROWS.get(kind(path)):
            yield from _numbered(f"{name} row", read(path, column))
        else:
            yield name, partial(content, path)


def _file(path: Path, column: str) -> Iterator[Document]:
    if read := ROWS.get(kind(path)):
        return _numbered("row", read(path, column))
    return _numbered("paragraph", paragraphs(path))


def _numbered(kind: str, texts: Iterable[str]) -> Iterator[Document]:
    for number, text in enumerate(texts):
        yield f"{kind} {number}", partial(str, text)


def _hash_order(named: tuple[str, object]) -> int:
    # Packages and folders are mixed, so that the first part of the text has something of each.
    return _digest("order:" + named[0])


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
        raise UserError(
            f"text.text: hub:{name}: cannot be streamed ({first_sentence(error)}); try again, or name another text"
        ) from None


def _digest(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
