"""Tasks for worker processes, in a module that is quick to import."""

import ctypes
import errno
import os
import signal
import time
from pathlib import Path

from mfr.runtime.errors import UnusableError


def note(path: Path) -> int:
    """Leave the number of the process in a file, and return it."""
    path.write_text(str(os.getpid()))
    return os.getpid()


def do(name: str) -> str:
    """Do what an item's name says; any other name is returned in capitals."""
    if name == "refuse":
        raise UnusableError("no recording: refused")
    if name == "crash":
        ctypes.string_at(0)
    elif name == "exit":
        os._exit(3)
    elif name == "bug":
        raise KeyError(name)
    elif name == "hang":
        time.sleep(60)
    elif name == "memory":
        return str(len(bytearray(1 << 28)))
    elif name == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif name == "full":
        raise OSError(errno.ENOSPC, "no space")
    return name.upper()


def linger(path: Path) -> None:
    """Leave the number of the process in a file, and go on for long."""
    note(path)
    time.sleep(60)
