"""Stop cleanly when the process receives SIGTERM or SIGINT."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupted(KeyboardInterrupt):
    """The process received SIGTERM or SIGINT, `number`; the message says what was saved.

    Libraries know `KeyboardInterrupt`: none takes it for an error to recover from.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number

    @property
    def saved(self) -> bool:
        """Whether the message says more than the signal's name."""
        return str(self) != stopped_by(self.number)


class Interruption:
    """Context manager that raises `Interrupted` at the first SIGTERM or SIGINT.

    Inside a `deferred` block it is raised at the block's end or check. Later signals are ignored: engines send several, and the
    clean-up that the first one started must finish. A signal that the process was started to ignore stays ignored. Inside
    another `Interruption` this one does nothing. `number` is that of the signal that came, if any.
    """

    def __init__(self) -> None:
        self.number: int | None = None

    def __enter__(self) -> "Interruption":
        taken = [number for number in SIGNALS if not _is_ours_or_ignored(number)]
        self._earlier = {number: signal.signal(number, self._handle) for number in taken}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._earlier.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.number is None:
            self.number = number
            raise Interrupted(stopped_by(number), number)


def stopped_by(number: int) -> str:
    """`stopped by SIGINT`."""
    return f"stopped by {signal.Signals(number).name}"


def _is_ours_or_ignored(number: int) -> bool:
    handler = signal.getsignal(number)
    return handler == signal.SIG_IGN or isinstance(getattr(handler, "__self__", None), Interruption)


def die_silently_while_importing() -> None:
    """Let SIGINT end the process without a traceback until an `Interruption` begins.

    The package of a command calls this first. It does nothing unless Python was started with `-m` on a module of that package:
    Python says so by `-m` in place of the program's name until it has found the module.
    """
    if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


class _Deferred:
    """Signals that came inside a `deferred` block, and the handlers that they are for."""

    def __init__(self) -> None:
        self.handlers = _handlers()
        self.came: list[int] = []

    def collect(self, number: int, frame: FrameType | None) -> None:
        self.came.append(number)

    def deliver(self) -> None:
        while self.came:
            number = self.came.pop(0)
            self.handlers[number](number, None)


@contextmanager
def deferred() -> Iterator[None]:
    """Hold back SIGTERM and SIGINT until the block, or the decorated function, ends.

    `check` delivers pending signals earlier. numba and HDF5 call Python from compiled code: an exception raised there by a
    signal handler is lost or changed, and HDF5 may crash. Such calls belong in a block. Handlers run only in the main thread,
    so other threads have nothing to defer. A block that raises ends with its own error.
    """
    signals = _Deferred()
    try:
        for number in signals.handlers:
            signal.signal(number, signals.collect)
        yield
    finally:
        for number, handler in signals.handlers.items():
            signal.signal(number, handler)
    signals.deliver()


def check() -> None:
    """Deliver the signals that the innermost `deferred` block of the main thread holds back; long work calls this."""
    for handler in _handlers().values():
        signals = getattr(handler, "__self__", None)
        if isinstance(signals, _Deferred):
            signals.deliver()


def _handlers() -> dict[int, Callable[[int, FrameType | None], object]]:
    """Python handlers of `SIGNALS`; none outside the main thread."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: handler for number in SIGNALS if callable(handler := signal.getsignal(number))}
