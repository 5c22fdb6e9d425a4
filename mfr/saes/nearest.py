"""Each feature's nearest features in another dictionary, without a matrix of all cosines.

A (m, d) and B (n, d) hold features of unit length, so that S = A Bᵀ holds cosines. It is computed in blocks, each of which is
dropped when its largest entries are known: O(m · n · d) time, O(m + n) memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from mfr.compute.compiled import njit
from mfr.compute.devices import without_tf32
from mfr.compute.threads import arrays, each
from mfr.runtime import interruption

Array = np.ndarray
# On a CPU a block and its factors stay in a core's cache; on a GPU blocks are large.
BLOCK_ROWS, BLOCK_COLUMNS = 512, 2048
GPU_ELEMENTS = 1 << 28


@dataclass(frozen=True)
class Nearest:
    """The largest entries of each row and each column of a matrix (m, n), in descending order; of equal ones, the first.

    row_values and columns are (m, count), column_values and rows (n, count), filled with −∞ and −1 if there are fewer.
    """

    row_values: torch.Tensor
    columns: torch.Tensor
    column_values: torch.Tensor
    rows: torch.Tensor


@without_tf32()
def nearest(
    A: torch.Tensor, B: torch.Tensor, count: int, price: torch.Tensor | None = None, value: torch.Tensor | None = None
) -> Nearest:
    """The `count` largest cosines of each feature with the other dictionary's features, or of A or B if they have fewer.

    Rows rank S_ij − price_j, with one price per feature of B (n), and columns rank S_ij − value_i, with one value per feature
    of A (m); both are zero if not given. Raises `ValueError` if A or B has a NaN. A pending `Interrupted` is raised
    between two blocks of rows.
    """
    if A.isnan().any() or B.isnan().any():
        raise ValueError("features with NaN have no nearest features")
    price = torch.zeros_like(B[:, 0]) if price is None else price.to(B)
    value = torch.zeros_like(A[:, 0]) if value is None else value.to(A)
    count = max(1, min(count, len(A), len(B)))
    if not (len(A) and len(B)):
        return _empty(A, B, count)
    return (_by_scans if A.device.type == "cpu" else by_topk)(A, B, count, price, value)


def by_topk(A: torch.Tensor, B: torch.Tensor, count: int, price: torch.Tensor, value: torch.Tensor) -> Nearest:
    """`nearest` on any device, in torch's operations. Which of equal entries it takes is torch's choice."""
    of_rows: list[tuple[torch.Tensor, torch.Tensor]] = []
    best = torch.empty(0, len(B), device=B.device)
    rows = torch.empty(0, len(B), dtype=torch.int64, device=B.device)
    for block in torch.split(torch.arange(len(A), device=A.device), max(count, GPU_ELEMENTS // len(B))):
        interruption.check()
        S = A[block] @ B.T
        of_rows.append((S - price).topk(count, dim=1))
        S -= value[block, None]
        top = S.topk(min(count, len(block)), dim=0)
        best, rows = torch.cat([best, top.values]), torch.cat([rows, block[top.indices]])
        best, place = best.topk(min(count, len(best)), dim=0)
        rows = rows.gather(0, place)
    values, columns = (torch.cat(parts) for parts in zip(*of_rows, strict=True))
    return Nearest(values, columns, best.T, rows.T)


def _by_scans(A: torch.Tensor, B: torch.Tensor, count: int, price: torch.Tensor, value: torch.Tensor) -> Nearest:
    """`nearest` on a CPU.

    Threads take blocks of rows in turn. Each thread keeps its own lists of columns, which are merged in the end. Blocks do not
    depend on the number of threads, so neither do the results.
    """
    prices, row_offsets = arrays(price.float(), value.float())
    values, columns = _empty_lists(len(A), count)
    threads = torch.get_num_threads()
    of_columns = [(*_empty_lists(len(B), count), np.full(len(B), -np.inf, np.float32)) for _ in range(threads)]

    def scan(first: int, lists: tuple[Array, Array, Array]) -> None:
        best, rows, least = lists
        for S, row, column in _blocks(A, B, first):
            _keep_largest(S, row, column, prices, row_offsets, values, columns, best, rows, least)

    firsts = range(0, len(A), BLOCK_ROWS)
    for turn in range(0, len(firsts), threads):
        interruption.check()
        own = firsts[turn : turn + threads]
        each(scan, own, of_columns[: len(own)])
    column_values, rows = (np.concatenate([lists[i] for lists in of_columns], axis=1) for i in range(2))
    order = np.lexsort((rows, -column_values))[:, :count]
    kept = [np.take_along_axis(lists, order, axis=1) for lists in (column_values, rows)]
    return Nearest(*map(torch.from_numpy, (values, columns, *kept)))


def _empty(A: torch.Tensor, B: torch.Tensor, count: int) -> Nearest:
    """The lists of two dictionaries of which one has no features."""
    shapes = (len(A), count), (len(B), count)
    values = [torch.full(shape, -torch.inf, device=A.device) for shape in shapes]
    indices = [torch.full(shape, -1, device=A.device) for shape in shapes]
    return Nearest(values[0], indices[0], values[1], indices[1])


def _empty_lists(length: int, count: int) -> tuple[Array, Array]:
    return np.full((length, count), -np.inf, np.float32), np.full((length, count), -1, np.int64)


def _blocks(A: torch.Tensor, B: torch.Tensor, first: int) -> Iterator[tuple[Array, int, int]]:
    """The blocks of A Bᵀ with rows from `first` on, each with its first row and column, in one buffer."""
    rows = A[first : first + BLOCK_ROWS]
    buffer = torch.empty(len(rows) * BLOCK_COLUMNS)
    for column in range(0, len(B), BLOCK_COLUMNS):
        columns = B[column : column + BLOCK_COLUMNS]
        out = buffer[: len(rows) * len(columns)].view(len(rows), len(columns))
        yield torch.mm(rows, columns.T, out=out).numpy(), first, column


@njit(cache=True, nogil=True)
def _keep_largest(
    S: Array,
    first_row: int,
    first_column: int,
    price: Array,
    value: Array,
    row_values: Array,
    columns: Array,
    column_values: Array,
    rows: Array,
    least: Array,
) -> None:
    """Add a block S of the matrix to the lists of largest entries; least (n) is each column's last one.

    Few entries belong in a list, so that a quick count skips most groups of them.
    """
    count = row_values.shape[1]
    for i in range(S.shape[0]):
        row = first_row + i
        for start in range(0, S.shape[1], 64):
            end, found = min(S.shape[1], start + 64), 0
            for j in range(start, end):
                of_row = S[i, j] - price[first_column + j] > row_values[row, count - 1]
                found += int(of_row) + int(S[i, j] - value[row] > least[first_column + j])
            if found:
                for j in range(start, end):
                    column = first_column + j
                    _insert(S[i, j] - price[column], column, row_values[row], columns[row])
                    _insert(S[i, j] - value[row], row, column_values[column], rows[column])
                    least[column] = column_values[column, count - 1]


@njit(cache=True, nogil=True, inline="always")
def _insert(entry: float, index: int, values: Array, indices: Array) -> None:
    """Insert an entry in a falling list if it is larger than the last."""
    place = len(values) - 1
    if entry > values[place]:
        while place > 0 and values[place - 1] < entry:
            values[place], indices[place] = values[place - 1], indices[place - 1]
            place -= 1
        values[place], indices[place] = entry, index
