"""Tasks for worker processes, in a module that is quick to import."""

import os
import signal
import time
from pathlib import Path

from mfr.runtime.errors import UnusableError


def note(name: str, folder: Path) -> None:
    """Leave the number of the process in a file."""
    (folder / name).write_text(str(os.getpid()))


def refuse(name: str, folder: Path) -> None:
    """Fail."""
    raise UnusableError(name)


def die(name: str, folder: Path) -> None:
    """End the process as if memory had run out."""
    os.kill(os.getpid(), signal.SIGKILL)


def linger(name: str, folder: Path) -> None:
    """Leave the number of the process in a file, and go on for long."""
    note(name, folder)
    time.sleep(60)
