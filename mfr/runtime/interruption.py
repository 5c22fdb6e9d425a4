"""Stop cleanly when the process receives SIGTERM or SIGINT."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupted(Exception):  # noqa: N818
    """The process received SIGTERM or SIGINT, `number`; the message says what was saved."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number


class Interruption:
    """Context manager that raises `Interrupted` at the first SIGTERM or SIGINT.

    Inside a `deferred` block it is raised at the block's end or check. Later signals are ignored: engines send several, and the
    clean-up that the first one started must finish.
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
    """Hold back SIGTERM and SIGINT until the block, or the decorated function, ends.

    Calling what it yields delivers pending signals earlier. numba and HDF5 call Python from compiled code: an exception raised
    there by a signal handler is lost or changed, and HDF5 may crash. Such calls belong in a block. Handlers run only in the
    main thread, so other threads have nothing to defer. A block that raises ends with its own error.
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
    """Python handlers of `SIGNALS`; none outside the main thread."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: handler for number in SIGNALS if callable(handler := signal.getsignal(number))}
