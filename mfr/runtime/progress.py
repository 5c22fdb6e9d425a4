"""Progress lines on stderr."""

import sys
import time

TERMINAL_S = 0.2


def duration(seconds: float) -> str:
    """`12 s`, `4 min 10 s` or `2 h 03 min`."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02} min"


class Ticker:
    """Context manager that prints progress lines: call it with a line.

    On a terminal it rewrites one line, at most five times a second. Elsewhere, such as in a log, it prints a line every `log_s`
    seconds, or none if that is None.
    """

    def __init__(self, log_s: float | None) -> None:
        self.terminal = sys.stderr.isatty()
        self.seconds = TERMINAL_S if self.terminal else log_s
        self.last = time.monotonic()
        self.shown = 0

    def __call__(self, line: str) -> None:
        if self.seconds is None or time.monotonic() - self.last < self.seconds:
            return
        self.last = time.monotonic()
        if self.terminal:
            print(f"\r{line:{self.shown}}", end="", file=sys.stderr, flush=True)
            self.shown = len(line)
        else:
            print(line, file=sys.stderr, flush=True)

    def __enter__(self) -> "Ticker":
        return self

    def __exit__(self, *_: object) -> None:
        if self.shown:
            print(file=sys.stderr, flush=True)
