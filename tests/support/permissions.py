"""Files and folders that are closed to the process, whoever runs it."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


@contextmanager
def reachable_folder() -> Iterator[Path]:
    """A temporary folder that every user can enter, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def closed(path: Path, mode: int = 0o000) -> Iterator[None]:
    """Give `path`, in a `reachable_folder`, the mode `mode`; an administrator becomes nobody for the time."""
    administrator, before = os.geteuid() == 0, path.stat().st_mode
    path.chmod(mode)
    if administrator:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if administrator:
            os.seteuid(0)
        path.chmod(before)
