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

    Files that a stage made have a hash instead of `modified_ns`: their times differ from run to run.
    """

    path: str
    bytes: int
    modified_ns: int | None
    sha256: str | None = None


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
    """State of `files` below `root`, sorted by path; without `with_time` they have hashes instead of times."""
    return [_pinned(root, path, with_time) for path in sorted(files, key=lambda path: path.relative_to(root).as_posix())]


def _pinned(root: Path, path: Path, with_time: bool) -> PinnedFile:
    state = path.stat()
    known = {"modified_ns": state.st_mtime_ns} if with_time else {"modified_ns": None, "sha256": sha256([path])}
    return PinnedFile(path=path.relative_to(root).as_posix(), bytes=state.st_size, **known)


def check_unchanged(root: Path, files: list[PinnedFile], stage: str) -> None:
    """Raise `UserError` if a file below `root` is missing or changed since `stage` listed it."""
    for file in files:
        path = root / file.path
        state = path.stat() if path.is_file() else None
        same = state and state.st_size == file.bytes and file.modified_ns in (None, state.st_mtime_ns)
        same = same and file.sha256 in (None, file.sha256 and sha256([path]))
        if not same:
            what = "has changed" if state else "has gone missing"
            raise UserError(f"{path}: {what} since {stage} listed it; restore it, or run {stage} again")


def read_manifest(kind: type[Manifest], folder: Path, stage: str) -> Manifest:
    """The manifest that `stage` wrote to `folder`.

    Raises `UserError` if it is missing, damaged or not of this kind.
    """
    return kind.read(folder / MANIFEST, stage)
