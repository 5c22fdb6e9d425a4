"""Files of a user that stages read but do not own: as they were when they were listed, so that a change is seen."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from mfr.runtime.errors import UserError

MANIFEST = "manifest.json"
Manifest = TypeVar("Manifest", bound=BaseModel)


class PinnedFile(BaseModel):
    """A file below some root; one that a stage made itself has no time, which would change from run to run."""

    path: str
    bytes: int
    modified_ns: int | None


class HashedFile(BaseModel):
    """A file by its content, whenever it was written."""

    path: str
    bytes: int
    sha256: str


def visible(folder: Path) -> list[Path]:
    """The files below a folder, but for hidden ones and those in hidden folders, such as what version control keeps of each."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def sha256(files: Iterable[Path]) -> str:
    """The hash of what the files hold, one after another."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def pinned(root: Path, files: Iterable[Path], with_time: bool = True) -> list[PinnedFile]:
    """The state of `files` below `root`, by path."""
    states = [(path.relative_to(root).as_posix(), path.stat()) for path in files]
    return [
        PinnedFile(path=path, bytes=state.st_size, modified_ns=state.st_mtime_ns if with_time else None)
        for path, state in sorted(states)
    ]


def check_unchanged(root: Path, files: list[PinnedFile], stage: str) -> None:
    """Raise `UserError` where a file below `root` is missing or not what `stage` listed."""
    for file in files:
        path = root / file.path
        state = path.stat() if path.is_file() else None
        same = state and state.st_size == file.bytes and file.modified_ns in (None, state.st_mtime_ns)
        if not same:
            what = "has changed" if state else "is missing"
            raise UserError(f"{path} {what} since {stage} listed it: run {stage} again")


def read_manifest(kind: type[Manifest], folder: Path, stage: str) -> Manifest:
    """The manifest that `stage` wrote to `folder`; `UserError` where there is none, or none of this kind."""
    path = folder / MANIFEST
    try:
        return kind.model_validate_json(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path}: no such file: run {stage} first") from None
    except (ValidationError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: not a manifest of {stage} ({reason}): run {stage} again") from None
