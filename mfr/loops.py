"""Work side by side: compiled loops in parts, whole tasks; and the sum of rows that several loops need."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import TypeVar

import numpy as np
import torch
from numba import njit

Result = TypeVar("Result")

# Sums may be reordered to be vectorised; NaN and infinity keep their meaning.
REORDER = {"reassoc", "contract", "arcp", "nsz"}
# What is not inlined is compiled by itself and again within its caller, with other roundings, and may be taken from either.
INLINED = {"inline": "always", "fastmath": REORDER}


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


@njit(**INLINED)
def add_rows(out: np.ndarray, W: np.ndarray, rows: np.ndarray, weights: np.ndarray) -> None:
    """out (d) += Σ_j weights_j W_{rows_j}, four rows at a time."""
    j = 0
    while j + 4 <= len(rows):
        w0, w1, w2, w3 = weights[j], weights[j + 1], weights[j + 2], weights[j + 3]
        r0, r1, r2, r3 = rows[j], rows[j + 1], rows[j + 2], rows[j + 3]
        for i in range(len(out)):
            out[i] += w0 * W[r0, i] + w1 * W[r1, i] + w2 * W[r2, i] + w3 * W[r3, i]
        j += 4
    while j < len(rows):
        w0, r0 = weights[j], rows[j]
        for i in range(len(out)):
            out[i] += w0 * W[r0, i]
        j += 1
