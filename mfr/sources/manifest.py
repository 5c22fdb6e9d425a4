"""Files that stages read but do not own: how they are found, and manifests by which changes are detected."""

import codecs
import hashlib
import os
import re
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from stat import S_ISDIR, S_ISREG
from typing import NamedTuple, TypeVar

from pydantic import BaseModel

from mfr.runtime.errors import UserError
from mfr.runtime.records import Record, file_sha256
from mfr.runtime.wording import listed

MANIFEST = "manifest.json"
ANNEX = "a git-annex pointer, not the {}: fetch it (`git annex get` or `datalad get`)"
LFS = "a Git LFS pointer, not the {}: fetch it (`git lfs pull`)"
# First bytes of small files that stand for such content. Git writes links as plain text on some file systems.
POINTERS = {
    re.compile(rb"(\.{0,2}/)*\.git/annex/objects/|/annex/objects/"): ANNEX,
    re.compile(rb"version https://git-lfs"): LFS,
}
POINTER_BYTES = 1024
WEB_PAGE = (b"<!doctype", b"<html", b"<?xml")
SHOWN = 5
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


class LeftOut(BaseModel):
    """A file or folder that is not used: its path below a root, made printable, and the reason."""

    path: str
    reason: str


class Found(NamedTuple):
    """Usable files below a root, sorted, and everything that is left out."""

    files: list[Path]
    left_out: list[LeftOut]


def walk(root: Path, what: str = "file", repeats: bool = False) -> Found:
    """Find the files below `root`, each a `what`; links to files and folders are followed.

    Left out are what is `unusable`, names that are not UTF-8, and all but one of several paths to the same folder or, without
    `repeats`, to the same file; a path without a link is preferred. Reasons are general words, then perhaps a colon and
    details. Hidden files and folders, whose names start with a dot, and links to a folder that contains them are not reported.
    """
    files, left_out, seen = list[Path](), list[LeftOut](), dict[Path, str]()
    # Links come last; their real paths are not known before.
    waiting, links = list[tuple[Path, Path]](), deque([root])
    while waiting or links:
        path, real = waiting.pop() if waiting else (links.popleft(), None)
        name = path.relative_to(root).as_posix()
        if reason := _misnamed(name) or unusable(path, what):
            left_out.append(LeftOut(path=printable(name), reason=reason))
            continue
        real = real or path.resolve()
        if real in seen and not (repeats and path.is_file()):
            # A link to a folder that contains it leads to nothing else.
            if not PurePosixPath(name).is_relative_to(seen[real]):
                left_out.append(LeftOut(path=printable(name), reason=f"repeated: the same as {printable(seen[real])}"))
            continue
        seen[real] = name
        if not path.is_dir():
            files.append(path)
            continue
        for entry in _visible(path):
            if entry.is_symlink():
                links.append(path / entry.name)
            else:
                waiting.append((path / entry.name, real / entry.name))
    return Found(sorted(files), sorted(left_out, key=lambda each: each.path))


def unusable(path: Path, what: str = "file") -> str:
    """Why a path is not a file or folder that can be used; empty if it is.

    Reasons are a link to nothing, a file that stands for content that is not here, a pipe or device, or an error of the system.
    """
    try:
        state = path.stat()
        if S_ISDIR(state.st_mode):
            os.scandir(path).close()
            return ""
        if not S_ISREG(state.st_mode):
            return "neither a file nor a folder"
        with path.open("rb") as file:
            start = file.read(POINTER_BYTES)
    except OSError as error:
        return _failed(path, error, what)
    # A longer text may begin as a pointer does.
    return "" if state.st_size > POINTER_BYTES else pointer(start, what)


def pointer(start: bytes, what: str) -> str:
    """Why a file that begins with `start` is a pointer of git-annex or Git LFS, not a `what`; empty if it is none."""
    return next((reason.format(what) for pattern, reason in POINTERS.items() if pattern.match(start)), "")


def is_web_page(start: bytes) -> bool:
    """Whether a file that begins with `start` is a web page, as of a download that failed."""
    return start.removeprefix(codecs.BOM_UTF8).lstrip().lower().startswith(WEB_PAGE)


def summary(left_out: Sequence[LeftOut]) -> str:
    """The first entries with their reasons, and the number of the others."""
    return listed([f"{each.path}: {each.reason}" for each in left_out], SHOWN, "; ")


def printable(name: str) -> str:
    """A file name in which control characters and bytes that are not UTF-8 are escaped."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in name)


def _misnamed(name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        return "name is not UTF-8: rename it"
    return ""


def _failed(path: Path, error: OSError, what: str) -> str:
    try:
        target = path.readlink()
    except OSError:
        return f"cannot be read ({error.strerror})"
    if isinstance(error, FileNotFoundError) and "annex/objects/" in os.path.realpath(path):
        return ANNEX.format(what)
    return f"dangling link: {printable(str(target))} ({error.strerror})"


def _visible(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)


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
    known = {"modified_ns": state.st_mtime_ns} if with_time else {"modified_ns": None, "sha256": file_sha256(path)}
    return PinnedFile(path=path.relative_to(root).as_posix(), bytes=state.st_size, **known)


def check_unchanged(root: Path, files: list[PinnedFile], stage: str) -> None:
    """Raise `UserError` if a file below `root` is missing or changed since `stage` listed it."""
    for file in files:
        path = root / file.path
        state = path.stat() if path.is_file() else None
        same = state and state.st_size == file.bytes and file.modified_ns in (None, state.st_mtime_ns)
        same = same and file.sha256 in (None, file.sha256 and file_sha256(path))
        if not same:
            what = "has changed" if state else "has gone missing"
            raise UserError(f"{path}: {what} since {stage} listed it; restore it, or run {stage} again")


def hashed(root: Path, files: Iterable[Path]) -> list[HashedFile]:
    """Content of `files` below `root`, sorted by path."""
    named = sorted((path.relative_to(root).as_posix(), path) for path in files)
    return [HashedFile(path=name, bytes=path.stat().st_size, sha256=file_sha256(path)) for name, path in named]


def check_same(root: Path, files: list[HashedFile], found: Iterable[Path], stage: str) -> None:
    """Raise `UserError` unless `found` are the `files` that `stage` listed below `root`, with the same content."""
    known, present = ({file.path: file for file in each} for each in (files, hashed(root, found)))
    for path in sorted(known.keys() | present.keys()):
        if path not in present:
            raise UserError(f"{root / path}: has gone missing since {stage} listed it; restore it, or run {stage} again")
        if path not in known:
            raise UserError(f"{root / path}: was not there when {stage} listed the folder; remove it, or run {stage} again")
        if known[path] != present[path]:
            raise UserError(f"{root / path}: has changed since {stage} listed it; restore it, or run {stage} again")


def read_manifest(kind: type[Manifest], folder: Path, stage: str) -> Manifest:
    """The manifest that `stage` wrote to `folder`.

    Raises `UserError` if it is missing, damaged or not of this kind.
    """
    return kind.read(folder / MANIFEST, stage)
