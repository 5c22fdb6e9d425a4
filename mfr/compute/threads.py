"""Work side by side: compiled loops in parts, and whole tasks."""

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


def arrays(*tensors: torch.Tensor) -> list[np.ndarray]:
    """The tensors' memory as compiled loops take it."""
    return [tensor.detach().numpy() for tensor in tensors]


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "loops")


@cache
def _one_threaded(threads: int) -> ThreadPoolExecutor:
    # torch keeps its number of threads for each thread that uses it.
    return ThreadPoolExecutor(threads, "tasks", initializer=torch.set_num_threads, initargs=(1,))


Item = TypeVar("Item")


def prefetched(items: Iterator[Item], ahead: int) -> Generator[Item]:
    """The same items in the same order, taken by a thread of its own up to `ahead` before they are asked for.

    What `items` raises is raised when its turn comes.
    """
    end = object()
    with ThreadPoolExecutor(1) as thread:
        waiting = deque(thread.submit(next, items, end) for _ in range(ahead))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(thread.submit(next, items, end))
            yield item  # type: ignore[misc]
