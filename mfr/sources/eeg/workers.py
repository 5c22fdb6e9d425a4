"""Map a task over files in worker processes, so that no file can stop the others.

A damaged file may make its reader crash, hang, or ask for all memory. Tasks therefore run in processes of their own, under
limits of time and memory, and a failure concerns only its own file. A process serves many files; only one that failed is
replaced.
"""

import multiprocessing
import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from math import inf
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeVar

from mfr.runtime.errors import UnusableError, UserError

Item = TypeVar("Item")
Result = TypeVar("Result")

# Many times what a sound file takes, so that only damage exceeds them: 10 s and 16 MB more per MB of the file.
SECONDS, SECONDS_PER_BYTE = 120.0, 1e-5
MEMORY, MEMORY_PER_BYTE = 3 << 30, 16
CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL)
# Slow imports, done once for all processes. Not of the project: the server has another search path than this process.
PRELOADED = ["h5py", "mne.channels", "mne.datasets.eegbci", "mne.io", "pandas", "pydantic", "safetensors.numpy", "scipy.signal"]


class Workers:
    """Up to `count` worker processes, as a context manager.

    They start when needed, and end with the context or with this process, even if it is killed. `seconds` and `memory` are
    the limits of a task on an empty file; larger files have more.
    """

    def __init__(self, count: int, seconds: float = SECONDS, memory: int = MEMORY) -> None:
        self.count, self.seconds, self.memory = count, seconds, memory
        self.idle: list[_Worker] = []

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.idle:
            worker.kill()

    def map(
        self, task: Callable[[Item], Result], items: Sequence[Item], sizes: Sequence[int]
    ) -> Iterator[tuple[int, Result | UnusableError]]:
        """Run `task(item)` for each item; yield its index and result as soon as it is done.

        `sizes` are the bytes of the items' files. The result is an `UnusableError` if the task raises one, exceeds a limit or
        crashes its process, which any other error does. Raises a task's `OSError` or `UserError`, and `UserError` if the system
        ends a process, for example because memory is short.
        """
        left = iter(enumerate(items))
        busy: dict[_Worker, int] = {}
        try:
            while True:
                while len(busy) < self.count and (following := next(left, None)):
                    worker = self.idle.pop() if self.idle else _Worker()
                    index, item = following
                    busy[worker] = index
                    memory = self.memory + MEMORY_PER_BYTE * sizes[index]
                    worker.give((task, item, memory), self.seconds + SECONDS_PER_BYTE * sizes[index])
                if not busy:
                    return
                for worker in _done(busy):
                    result = worker.take()
                    index = busy.pop(worker)
                    if worker.alive:
                        self.idle.append(worker)
                    yield index, result
        finally:
            for worker in busy:
                worker.kill()


def size(path: Path) -> int:
    """Size of a file in bytes; 0 if the system does not say."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


class _Worker:
    """A process that runs one task at a time."""

    def __init__(self) -> None:
        # Forked from a server that runs no thread of torch or HDF5, whose locks a fork would copy.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()
        self.deadline = inf
        self.alive = True

    def give(self, work: tuple[Any, ...], seconds: float) -> None:
        """Start a task."""
        self.seconds, self.deadline = seconds, time.monotonic() + seconds
        self.name = str(getattr(work[1], "path", work[1]))
        self.connection.send(work)

    def take(self) -> Any:
        """Result of a task that is done or out of time."""
        if not self.connection.poll():
            self.kill()
            return UnusableError(f"takes too long: not read within {self.seconds:.0f} s")
        try:
            failed, result = self.connection.recv()
        except (EOFError, OSError):
            return self._crashed()
        if failed and not isinstance(result, UnusableError):
            raise result
        return result

    def _crashed(self) -> UnusableError:
        self.process.join()
        code = self.process.exitcode or 0
        self.kill()
        if code < 0 and -code not in CRASHES:
            raise UserError(
                f"execution.workers: the system ended the worker process that read {self.name} ({signal.Signals(-code).name}), "
                "perhaps because memory ran out; lower it and run again (finished recordings are kept)"
            )
        how = signal.Signals(-code).name if code < 0 else f"status {code}"
        return UnusableError(f"crashes its reader: the process ended with {how}")

    def kill(self) -> None:
        """End the process."""
        self.alive = False
        self.process.kill()
        self.process.join()
        self.connection.close()


def _done(busy: dict[_Worker, int]) -> list[_Worker]:
    """Workers that finished, crashed or are out of time, as soon as there is one."""
    while True:
        ready = wait([worker.connection for worker in busy], max(0.0, min(w.deadline for w in busy) - time.monotonic()))
        done = [worker for worker in busy if worker.connection in ready or time.monotonic() >= worker.deadline]
        if done:
            return done


def _serve(connection: Connection) -> None:
    """Run the tasks that arrive, until the parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # sent to the whole group; the parent ends its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    begun = _data_bytes()
    while True:
        try:
            task, item, memory = connection.recv()
        except EOFError:
            return
        try:
            if begun is not None:
                _, most = resource.getrlimit(resource.RLIMIT_DATA)
                limit = begun + memory
                resource.setrlimit(resource.RLIMIT_DATA, (limit if most == resource.RLIM_INFINITY else min(limit, most), most))
            outcome = False, task(item)
        except MemoryError:
            outcome = True, UnusableError(f"needs too much memory: more than {memory / (1 << 30):.1f} GiB")
        except (UnusableError, UserError, OSError) as error:
            outcome = True, error
        connection.send(outcome)


def _data_bytes() -> int | None:
    """Size of this process's data, which RLIMIT_DATA limits; None if the system does not say."""
    status = Path("/proc/self/status")
    found = (
        [line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmData")] if status.exists() else []
    )
    return 1024 * int(found[0]) if found else None


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
