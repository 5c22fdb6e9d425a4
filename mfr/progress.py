"""Lines of progress for somebody who waits."""

import sys
import time


class Ticker:
    """Calls print a line to stderr, at most one every `seconds`; the first line waits as long."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.told = time.monotonic()

    def __call__(self, line: str) -> None:
        if time.monotonic() - self.told >= self.seconds:
            self.told = time.monotonic()
            print(line, file=sys.stderr, flush=True)
