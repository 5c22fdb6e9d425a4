import errno
import os
import pty
import subprocess
import sys

import pytest

from mfr.runtime.progress import duration

LINES = """
import time
from mfr.runtime.progress import Ticker
with Ticker({log_s}) as tell:
    for number in range(6):
        time.sleep(0.05)
        tell(f"line {{number}}" + " " * number)
print("after", file=__import__("sys").stderr)
"""


def until_the_end(terminal: int) -> bytes:
    """All that was written to the other side, which Linux hands over piece by piece, and ends with an error."""
    shown = b""
    while True:
        try:
            shown += os.read(terminal, 10_000)
        except OSError as error:
            assert error.errno == errno.EIO
            return shown


def test_no_terminal_is_quiet_unless_a_log_is_asked_for() -> None:
    quiet, told = (
        subprocess.run([sys.executable, "-c", LINES.format(log_s=log_s)], capture_output=True, text=True).stderr
        for log_s in (None, 0.01)
    )
    assert quiet == "after\n"
    assert told.splitlines() == [f"line {number}" + " " * number for number in range(6)] + ["after"]


def test_a_terminal_shows_one_line_that_is_rewritten() -> None:
    ours, theirs = pty.openpty()
    subprocess.run([sys.executable, "-c", LINES.format(log_s=None)], stderr=theirs, check=True)
    os.close(theirs)
    shown = until_the_end(ours).decode()
    os.close(ours)
    assert shown.startswith("\rline") and shown.endswith("\r\nafter\r\n")
    assert shown.count("\n") == 2


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0 s"),
        (12.4, "12 s"),
        (59.7, "1 min 00 s"),
        (250, "4 min 10 s"),
        (3599.8, "1 h 00 min"),
        (7380, "2 h 03 min"),
        (119190, "33 h 06 min"),
    ],
)
def test_a_duration_is_readable(seconds: float, text: str) -> None:
    assert duration(seconds) == text
