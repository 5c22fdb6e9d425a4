"""Stop in good order when the process is told to end."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupted(Exception):  # noqa: N818
    """SIGTERM or SIGINT came; the message tells what was saved."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number


class Interruption:
    """Turns the first SIGTERM or SIGINT into `Interrupted`, at once or where a `deferred` block allows it; a context manager.

    Those that follow are ignored: engines send several, and what the first one began shall end.
    """

    def __init__(self) -> None:
        self._interrupted = False

    def __enter__(self) -> "Interruption":
        self._earlier = {number: signal.signal(number, self._handle) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._earlier.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self._interrupted:
            self._interrupted = True
            raise Interrupted(f"stopped by {signal.Signals(number).name}", number)


@contextmanager
def deferred() -> Iterator[Callable[[], None]]:
    """A block or decorated function: SIGTERM and SIGINT have their effect at its end, or where what it yields is called.

    Compiled code that calls Python, as numba and HDF5 do, loses or changes an exception that a signal's handler raises
    there, and HDF5 may crash: such calls belong into a block. Handlers run in the main thread alone, so that other threads
    have nothing to defer. A block that raises ends with its own error.
    """
    handlers = _handlers()
    came: list[int] = []

    def check() -> None:
        while came:
            number = came.pop(0)
            handlers[number](number, None)

    try:
        for number in handlers:
            signal.signal(number, lambda signalled, _: came.append(signalled))
        yield check
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    check()


def _handlers() -> dict[int, Callable[[int, FrameType | None], object]]:
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: handler for number in SIGNALS if callable(handler := signal.getsignal(number))}
