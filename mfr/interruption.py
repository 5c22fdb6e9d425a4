"""Stop in good order when the process is told to end."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(Exception):  # noqa: N818
    """SIGTERM or SIGINT came; the message tells what was saved."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number


class Interruption:
    """Turns the first SIGTERM or SIGINT into `Interrupted`, at once or where a `deferred` block allows it; a context manager.

    Those that follow are ignored: engines send several, and what the first one began shall end. Compiled code that calls
    Python, as numba does, makes another exception of one that is raised at once: that belongs into a `deferred` block.
    """

    def __init__(self) -> None:
        self._deferring = False
        self._pending: int | None = None
        self._interrupted = False

    def __enter__(self) -> "Interruption":
        self._earlier = {number: signal.signal(number, self._handle) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._earlier.items():
            signal.signal(number, handler)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """A block in which a signal has its effect at its end, or where `check` is called."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False
        self.check()

    def check(self) -> None:
        """Raise the `Interrupted` of a signal that came in a `deferred` block."""
        number, self._pending = self._pending, None
        if number is not None:
            raise self._interruption(number)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._interrupted:
            return
        if not self._deferring:
            raise self._interruption(number)
        self._pending = number

    def _interruption(self, number: int) -> Interrupted:
        self._interrupted = True
        return Interrupted(f"stopped by {signal.Signals(number).name}", number)
