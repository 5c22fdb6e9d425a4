"""Outputs that are there whole or not at all, and that only one process writes."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mfr.runtime import paths
from mfr.runtime.errors import UserError


def write_whole(path: Path, content: bytes) -> None:
    """Replace the file at `path` at once, or not at all: whatever kills the process, `path` never holds a part of it."""
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


@contextmanager
def writing(*outputs: Path) -> Iterator[list[Path]]:
    """Temporary names to write to, one for each output, moved into place together when the block succeeds.

    A block that fails leaves earlier outputs as they were and nothing half-written. Raises `UserError` if another process is
    writing the same outputs.
    """
    with _lock(outputs[0]):
        temporary = [output.with_name(f".{output.stem}.part{output.suffix}") for output in outputs]
        for output, part in zip(outputs, temporary, strict=True):
            output.parent.mkdir(parents=True, exist_ok=True)
            _remove(part)
        try:
            yield temporary
            for output, part in zip(outputs, temporary, strict=True):
                if part.is_dir():
                    _remove(output)
                os.replace(part, output)
        finally:
            for part in temporary:
                _remove(part)


def check_outside(folder: Path, output: Path, parameter: str) -> None:
    """Raise `UserError` if the folder that a parameter names is in an output, which is deleted for the new one."""
    if folder.resolve().is_relative_to(output.resolve()):
        raise UserError(f"{parameter}: {folder} lies in this stage's output {output}, which is deleted: move it")


@contextmanager
def _lock(output: Path) -> Iterator[None]:
    name = hashlib.sha256(str(output.resolve()).encode()).hexdigest()[:16]
    folder = paths.SCRATCH / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{output} is being written by another process: wait until it is done, or stop it") from None
        yield


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
