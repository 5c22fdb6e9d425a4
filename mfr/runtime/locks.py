"""Locks of outputs: only one process writes an output."""

import errno
import fcntl
import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from mfr.runtime import paths
from mfr.runtime.errors import UserError

NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


@contextmanager
def locked(outputs: Sequence[Path], targets: Sequence[Path], make: Callable[[Path], None]) -> Iterator[None]:
    """Hold the locks of all outputs, which are written at `targets`; the system releases them if the process dies.

    `make` makes the folder of locks. Raises `UserError` if another process holds one. On a file system without locks the block
    runs all the same, and a line on stderr says so.
    """
    with ExitStack() as stack:
        # In one order, so that of two processes with several outputs in common one gets them all.
        ordered = sorted(zip(targets, outputs, strict=True))
        held = [stack.enter_context(_lock(target, output, make)) for target, output in ordered]
        if not all(held):
            folder = paths.SCRATCH / "locks"
            print(f"{folder}: this file system has no locks; start no second process that writes {outputs[0]}", file=sys.stderr)
        yield


@contextmanager
def _lock(target: Path, output: Path, make: Callable[[Path], None]) -> Iterator[bool]:
    """Hold the lock of one output; yields whether the file system has locks."""
    path = paths.SCRATCH / "locks" / hashlib.sha256(str(target).encode()).hexdigest()[:16]
    handle, held = _opened(path, output, make)
    with handle:
        try:
            yield held
        finally:
            path.unlink(missing_ok=True)


def _opened(path: Path, output: Path, make: Callable[[Path], None]) -> tuple[IO[str], bool]:
    while True:
        make(path.parent)
        try:
            handle = path.open("w")
        except FileNotFoundError:
            continue  # the process before has just removed the folder
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(handle, path):
                return handle, True
        except BlockingIOError:
            handle.close()
            raise UserError(f"{output}: another process is writing it; wait until that process ends, or stop it") from None
        except OSError as error:
            if error.errno in NO_LOCKS:
                return handle, False
            handle.close()
            path.unlink(missing_ok=True)
            error.filename = str(path.parent)
            raise
        handle.close()


def _is_at(handle: IO[str], path: Path) -> bool:
    """Whether an open file is still the one at `path`, which its last holder removed as it ended."""
    try:
        return os.path.samestat(os.fstat(handle.fileno()), path.stat())
    except FileNotFoundError:
        return False
