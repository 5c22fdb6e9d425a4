"""One task on many things, in several processes."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from mfr.runtime.errors import UserError

Item = TypeVar("Item")
Shared = TypeVar("Shared")


def in_processes(task: Callable[[Item, Shared], None], items: Sequence[Item], shared: Shared, workers: int) -> Iterator[None]:
    """Do `task(item, shared)` for each item, `workers` at a time; yields after each that is done, in no fixed order.

    With one worker in this process, else in processes that end with it, however it ends. Raises what a task raises, and
    `UserError` where a process was killed.
    """
    if workers == 1 or len(items) < 2:
        for item in items:
            task(item, shared)
            yield
        return
    # Not forked: a fork copies the locks that torch's and HDF5's threads may hold.
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(items)), spawning, initializer=_end_with_parent) as pool:
        try:
            for done in as_completed([pool.submit(task, item, shared) for item in items]):
                done.result()
                yield
        except BrokenProcessPool:
            raise UserError(
                f"one of {workers} worker processes was killed, perhaps for want of memory: set execution.workers lower and "
                "run again; what is done stays done"
            ) from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _end_with_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
