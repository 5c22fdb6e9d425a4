"""Map a task over items in worker processes."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar

from mfr.runtime.errors import UserError

Item = TypeVar("Item")
Shared = TypeVar("Shared")


def in_processes(task: Callable[[Item, Shared], None], items: Sequence[Item], shared: Shared, workers: int) -> Iterator[None]:
    """Run `task(item, shared)` for each item, `workers` at a time.

    Yields after each finished item, in no fixed order. One worker runs in this process. Several run in processes of their own,
    which end when this process ends, even if it is killed. A signal that stops this process stops them at once. Raises what a
    task raises, and `UserError` if a worker process dies.
    """
    if workers == 1 or len(items) < 2:
        for item in items:
            task(item, shared)
            yield
        return
    # Spawned, because a fork copies locks that threads of torch and HDF5 may hold.
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(items)), spawning, initializer=_end_with_parent) as pool:
        try:
            with _sigint_blocked():  # workers inherit this until `_end_with_parent`: Python is silent while it starts them
                submitted = [pool.submit(task, item, shared) for item in items]
            for done in as_completed(submitted):
                done.result()
                yield
        except BrokenProcessPool:
            raise UserError(
                f"execution.workers: one of {workers} worker processes died, perhaps because memory ran out; lower it and run "
                "again (finished recordings are kept); if that does not help, a damaged file may crash its reader"
            ) from None
        except (KeyboardInterrupt, GeneratorExit):
            for worker in multiprocessing.active_children():
                worker.kill()
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _sigint_blocked() -> Iterator[None]:
    earlier = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, earlier)


def _end_with_parent() -> None:
    """Set up a worker process to exit when its parent does, and without a traceback at SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
