"""Parallel work in threads: parts of compiled loops, and whole tasks."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import TypeVar

import numpy as np
import torch

Result = TypeVar("Result")


def even_bounds(count: int) -> list[int]:
    """Bounds that divide range(count) into equal parts, one per thread of torch."""
    threads = torch.get_num_threads()
    return [count * part // threads for part in range(threads + 1)]


def side_by_side(loop: Callable[..., None], bounds: Sequence[int], *arguments: object) -> None:
    """Call loop(first, last, *arguments) for each pair of neighbouring bounds that differ, in parallel.

    The loop must release the GIL. The threads are not numba's: those add a second pool to torch's, and a parallel loop rounds
    differently when loaded from numba's cache than when just compiled.
    """
    parts = [part for part in pairwise(map(int, bounds)) if part[0] < part[1]]
    waiting = [_pool(len(bounds) - 2).submit(loop, *part, *arguments) for part in parts[1:]]
    if parts:
        loop(*parts[0], *arguments)
    for part in waiting:
        part.result()


def each(task: Callable[..., Result], *arguments: Iterable[object]) -> list[Result]:
    """Results of a task on each of the arguments, like `map`, in parallel.

    At most one task per thread of torch runs at a time, and each computes with one thread.
    """
    return list(_one_threaded(torch.get_num_threads()).map(task, *arguments))


def aligned(rows: int, columns: int) -> np.ndarray:
    """Uninitialised float32 array (rows, columns), aligned in memory as torch aligns tensors.

    The last bits of a product can depend on the alignment.
    """
    return torch.empty(rows, columns).numpy()


def arrays(*tensors: torch.Tensor) -> list[np.ndarray]:
    """Numpy views of CPU tensors, for compiled loops."""
    return [tensor.detach().numpy() for tensor in tensors]


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "loops")


@cache
def _one_threaded(threads: int) -> ThreadPoolExecutor:
    # torch keeps a number of threads per calling thread.
    return ThreadPoolExecutor(threads, "tasks", initializer=torch.set_num_threads, initargs=(1,))


Item = TypeVar("Item")


def prefetched(items: Iterator[Item], ahead: int) -> Generator[Item]:
    """The same items in the same order, computed by another thread up to `ahead` items early.

    An exception of `items` is raised in its turn. The thread may use as many threads of torch as the caller's.
    """
    end = object()
    # A thread takes torch's number from whichever thread set it last, perhaps one of `each`.
    with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(torch.get_num_threads(),)) as thread:
        waiting = deque(thread.submit(next, items, end) for _ in range(ahead))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(thread.submit(next, items, end))
            yield item  # type: ignore[misc]  # not `end`, so an Item
