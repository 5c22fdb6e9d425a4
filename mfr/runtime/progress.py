"""Lines of progress for somebody who waits."""

import sys
import time

TERMINAL_S = 0.2


class Ticker:
    """On a terminal, one line of stderr that every call rewrites, at most five times a second.

    Elsewhere, such as in a log, a line every `log_s` seconds, or none where it is `None`. A context manager, which ends the
    terminal's line.
    """

    def __init__(self, log_s: float | None) -> None:
        self.terminal = sys.stderr.isatty()
        self.seconds = TERMINAL_S if self.terminal else log_s
        self.told = time.monotonic()
        self.shown = 0

    def __call__(self, line: str) -> None:
        if self.seconds is None or time.monotonic() - self.told < self.seconds:
            return
        self.told = time.monotonic()
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
