"""Manifests of files that stages read but do not own, so that changes are detected."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from mfr.runtime.errors import UserError

MANIFEST = "manifest.json"
Manifest = TypeVar("Manifest", bound=BaseModel)


class PinnedFile(BaseModel):
    """Path relative to a root, size, and modification time.

    `modified_ns` is None for files that a stage made: their times differ from run to run.
    """

    path: str
    bytes: int
    modified_ns: int | None


class HashedFile(BaseModel):
    """Path, size and content hash of a file, independent of its modification time."""

    path: str
    bytes: int
    sha256: str


def visible(folder: Path) -> list[Path]:
    """Files below a folder, except hidden files and those in hidden folders such as `.git`."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


class LeftOut(BaseModel):
    """Path below a root, with slashes, that is not read, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Found:
    """Files below a folder, and what could not be reached; both sorted by path."""

    files: list[Path]
    left_out: list[LeftOut]


def walk(root: Path) -> Found:
    """Visible files below `root`, links to folders followed, and what could not be reached.

    Dangling links, unreadable folders and names that are not UTF-8 are left out. Hidden files and folders are not listed. A
    link to a folder that contains it is not followed.
    """
    files, left_out = [], []

    def leave(path: str | Path, reason: str) -> None:
        relative = Path(path).relative_to(root).as_posix()
        left_out.append(LeftOut(path=os.fsencode(relative).decode("utf-8", "replace"), reason=reason))

    def unreadable(error: OSError) -> None:
        leave(error.filename, f"folder cannot be read: {error.strerror}")

    for folder, folders, names in os.walk(root, onerror=unreadable, followlinks=True):
        here = Path(folder)
        for name in [name for name in (*folders, *names) if not name.startswith(".")]:
            path = here / name
            if not _is_utf8(name):
                leave(path, "name is not UTF-8: rename it")
            elif path.is_symlink() and not path.exists():
                leave(path, "dangling link: its file is not here (git-annex and DataLad fetch files with `get`)")
            elif path.is_file():
                files.append(path)
        above = {path.resolve() for path in (here, *here.parents)}
        folders[:] = [
            name for name in folders if _is_utf8(name) and not name.startswith(".") and (here / name).resolve() not in above
        ]
    return Found(sorted(files), sorted(left_out, key=lambda entry: entry.path))


def _is_utf8(name: str) -> bool:
    return os.fsencode(name).decode("utf-8", "replace") == name


def sha256(files: Iterable[Path]) -> str:
    """SHA-256 of the concatenated contents of `files`, as hexadecimal digits."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def pinned(root: Path, files: Iterable[Path], with_time: bool = True) -> list[PinnedFile]:
    """State of `files` below `root`, sorted by path; without `with_time` their times are None."""
    states = [(path.relative_to(root).as_posix(), path.stat()) for path in files]
    return [
        PinnedFile(path=path, bytes=state.st_size, modified_ns=state.st_mtime_ns if with_time else None)
        for path, state in sorted(states)
    ]


def check_unchanged(root: Path, files: list[PinnedFile], stage: str) -> None:
    """Raise `UserError` if a file below `root` is missing or changed since `stage` listed it."""
    for file in files:
        path = root / file.path
        state = path.stat() if path.is_file() else None
        same = state and state.st_size == file.bytes and file.modified_ns in (None, state.st_mtime_ns)
        if not same:
            what = "has changed" if state else "has gone missing"
            raise UserError(f"{path}: {what} since {stage} listed it; restore it, or run {stage} again")


def hashed(root: Path, files: Iterable[Path]) -> list[HashedFile]:
    """Content of `files` below `root`, sorted by path."""
    named = sorted((path.relative_to(root).as_posix(), path) for path in files)
    return [HashedFile(path=name, bytes=path.stat().st_size, sha256=sha256([path])) for name, path in named]


def check_same(root: Path, files: list[HashedFile], found: Iterable[Path], stage: str) -> None:
    """Raise `UserError` unless `found` are the `files` that `stage` listed below `root`, with the same content."""
    listed, present = ({file.path: file for file in each} for each in (files, hashed(root, found)))
    for path in sorted(listed.keys() | present.keys()):
        if path not in present:
            raise UserError(f"{root / path}: has gone missing since {stage} listed it; restore it, or run {stage} again")
        if path not in listed:
            raise UserError(f"{root / path}: was not there when {stage} listed the folder; remove it, or run {stage} again")
        if listed[path] != present[path]:
            raise UserError(f"{root / path}: has changed since {stage} listed it; restore it, or run {stage} again")


def read_manifest(kind: type[Manifest], folder: Path, stage: str) -> Manifest:
    """The manifest that `stage` wrote to `folder`.

    Raises `UserError` if it is missing or not of this kind.
    """
    path = folder / MANIFEST
    try:
        return kind.model_validate_json(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run {stage} first") from None
    except (ValidationError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: not a manifest of {stage} ({reason}); run {stage} again") from None
