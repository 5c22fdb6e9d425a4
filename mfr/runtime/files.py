"""Outputs that are complete or absent, and that only one process writes."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from mfr.runtime import paths
from mfr.runtime.errors import UserError

_last_check: ContextVar[Callable[[], None]] = ContextVar("last_check", default=lambda: None)


def write_whole(path: Path, content: bytes) -> None:
    """Replace the file at `path` atomically.

    The file is never partial, even if the process is killed.
    """
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


@contextmanager
def writing(*outputs: Path) -> Iterator[list[Path]]:
    """Yield a temporary path per output; move them all into place if the block succeeds.

    If the block fails, earlier outputs stay as they were and no partial file remains. Raises `UserError` if another process is
    writing the same outputs.
    """
    with _lock(outputs[0]):
        temporary = [output.with_name(f".{output.stem}.part{output.suffix}") for output in outputs]
        for output, part in zip(outputs, temporary, strict=True):
            output.parent.mkdir(parents=True, exist_ok=True)
            _remove(part)
        try:
            yield temporary
            _last_check.get()()
            for output, part in zip(outputs, temporary, strict=True):
                if part.is_dir():
                    _remove(output)
                os.replace(part, output)
        finally:
            for part in temporary:
                _remove(part)


@contextmanager
def checked_last(check: Callable[[], None]) -> Iterator[None]:
    """Call `check` before outputs that are written in the block are moved into place; if it raises, they are not."""
    token = _last_check.set(check)
    try:
        yield
    finally:
        _last_check.reset(token)


def check_outside(folder: Path, output: Path, parameter: str) -> None:
    """Raise `UserError` if the folder that `parameter` names is inside `output`.

    A stage replaces its output, so it would delete the user's folder.
    """
    if folder.resolve().is_relative_to(output.resolve()):
        raise UserError(f"{parameter}: {folder} is inside {output}, which this stage replaces; move the folder elsewhere")


@contextmanager
def _lock(output: Path) -> Iterator[None]:
    """Hold the lock of an output; the system releases it if the process dies."""
    name = hashlib.sha256(str(output.resolve()).encode()).hexdigest()[:16]
    folder = paths.SCRATCH / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{output}: another process is writing it; wait until that process ends, or stop it") from None
        yield


def _remove(path: Path) -> None:
    """Delete a file or folder, if there is one."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
