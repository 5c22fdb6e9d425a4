"""Work side by side: compiled loops in parts, and whole tasks."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import TypeVar

import numpy as np
import torch

Result = TypeVar("Result")


def even_bounds(count: int) -> list[int]:
    """Bounds of as many equal parts of range(count) as torch has threads."""
    threads = torch.get_num_threads()
    return [count * part // threads for part in range(threads + 1)]


def side_by_side(loop: Callable[..., None], bounds: Sequence[int], *arguments: object) -> None:
    """loop(first, last, *arguments) for each two neighbouring bounds, each in a thread; the loop must let go of the GIL.

    Threads of its own, not numba's: those would share no pool with torch's, and what numba makes of a parallel loop
    rounds otherwise when it comes from numba's cache than when it was just compiled.
    """
    first, *rest = pairwise(map(int, bounds))
    waiting = [_pool(len(rest)).submit(loop, *part, *arguments) for part in rest]
    loop(*first, *arguments)
    for part in waiting:
        part.result()


def each(task: Callable[..., Result], *arguments: Iterable[object]) -> list[Result]:
    """The task of each of the arguments, like `map`; as many at a time as torch has threads, each on one of them."""
    return list(_one_threaded(torch.get_num_threads()).map(task, *arguments))


def aligned(rows: int, columns: int) -> np.ndarray:
    """An array (rows, columns) float32 that begins where torch's would, on which a product's last bits can depend."""
    return torch.empty(rows, columns).numpy()


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "loops")


@cache
def _one_threaded(threads: int) -> ThreadPoolExecutor:
    # torch keeps its number of threads for each thread that uses it.
    return ThreadPoolExecutor(threads, "tasks", initializer=torch.set_num_threads, initargs=(1,))
