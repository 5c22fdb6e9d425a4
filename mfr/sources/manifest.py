"""Manifests of files that stages read but do not own, so that changes are detected."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from mfr.runtime.errors import UserError
from mfr.runtime.records import Record

MANIFEST = "manifest.json"
Manifest = TypeVar("Manifest", bound=Record)


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


def read_manifest(kind: type[Manifest], folder: Path, stage: str) -> Manifest:
    """The manifest that `stage` wrote to `folder`.

    Raises `UserError` if it is missing, damaged or not of this kind.
    """
    return kind.read(folder / MANIFEST, stage)
