"""Outputs that are complete or absent, and that only one process writes."""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from mfr.runtime.errors import UserError
from mfr.runtime.interruption import deferred
from mfr.runtime.locks import locked
from mfr.runtime.os_errors import WRITING, number_of

_last_check: ContextVar[Callable[[], None]] = ContextVar("last_check", default=lambda: None)


def write_whole(path: Path, *content: bytes) -> None:
    """Replace the file at `path` atomically by one with this content, in one piece or several.

    The file is never partial, even if the process is killed.
    """
    part = path.with_name(f".{path.name}.part")
    with _named([path], [part]):
        with part.open("wb") as file:
            file.writelines(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)


@contextmanager
def writing(*outputs: Path) -> Iterator[list[Path]]:
    """Yield a temporary path per output; move them all into place if the block succeeds.

    If the block fails, earlier outputs stay as they were, and no partial file and no folder made for them remains. Links to
    folders stay links. The moves follow one another, and a signal waits until all are done. Only SIGKILL or a crash of the
    machine can leave some outputs of this run and some of an earlier one, each complete: both engines then take the job for
    unfinished and run it again.

    An output without a suffix is a folder. Raises `UserError` for an output that is a folder where a file belongs or the
    reverse, or a link that leads nowhere, and if another process is writing one of the outputs. Raises `OSError`, which names
    the output, before the block if nothing can be written there.
    """
    targets = [_target(output) for output in outputs]
    temporary = [target.with_name(f".{target.stem}.part{target.suffix}") for target in targets]
    with _named(outputs, temporary), _folders() as make, locked(outputs, targets, make):
        for part in temporary:
            make(part.parent)
            _remove(part)
            part.touch()
            part.unlink()
        try:
            yield temporary
            _last_check.get()()
            with deferred():
                for target, part in zip(targets, temporary, strict=True):
                    if part.is_dir():
                        _remove(target)
                    os.replace(part, target)
        finally:
            for part in temporary:
                _remove(part)


def _target(output: Path) -> Path:
    """Where an output is written: links to folders are followed.

    A link to a file is replaced instead, because DVC links to files of its cache, which must not change.
    """
    for path in (output, *output.parents):
        if path.is_symlink() and not path.exists():
            raise UserError(f"{path}: a link to {path.readlink()}, which leads nowhere; make or mount that, or remove the link")
    if output.exists() and output.is_dir() == bool(output.suffix):
        found, wanted = ("folder", "file") if output.is_dir() else ("file", "folder")
        raise UserError(f"{output}: a {found}, where a {wanted} belongs; move it elsewhere")
    return output.resolve() if output.is_dir() else output.parent.resolve() / output.name


@contextmanager
def _folders() -> Iterator[Callable[[Path], None]]:
    """Yield a function that makes a folder; if the block fails, the folders it made that are empty are removed."""
    made: list[Path] = []

    def make(folder: Path) -> None:
        made.extend(path for path in (folder, *folder.parents) if not path.exists())
        folder.mkdir(parents=True, exist_ok=True)

    try:
        yield make
    except BaseException:
        for folder in sorted(made, key=lambda path: len(path.parts), reverse=True):
            with suppress(OSError):
                folder.rmdir()
        raise


@contextmanager
def _named(outputs: Sequence[Path], parts: Sequence[Path]) -> Iterator[None]:
    """Let an `OSError` of the block name an output, not its temporary file.

    A write that fails does not say which file it was for. On a full disk the error has a note, which says what was being made.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None and number_of(error) in WRITING:
            error.add_note(f"while writing {outputs[0] if len(outputs) == 1 else outputs[0].parent}")
        for output, part in zip(outputs, parts, strict=True):
            if Path(str(error.filename)).is_relative_to(part):
                if isinstance(error, FileNotFoundError):
                    raise UserError(f"{output}: its folder was removed while the stage ran; run again") from None
                error.filename, error.filename2 = str(output), None
        raise


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


def _remove(path: Path) -> None:
    """Delete a file or folder, if there is one."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
