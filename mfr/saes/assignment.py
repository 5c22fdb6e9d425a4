"""One-to-one partners of two dictionaries' features, by prices.

A (m, d) and B (n, d), m ≤ n, hold features of unit length; S = A Bᵀ. If prices p of B's features are not negative, and
zero for features without a partner, then the mean cosine of the partners is below the best possible by at most

    gap = mean over rows i of max_j (S_ij − p_j) − (S_il − p_l), with l the partner of i

Partners are chosen on lists of candidates, by an auction (Bertsekas, 1988) and shortest augmenting paths (Jonker and Volgenant,
1987). Lists have each feature's nearest features net of prices, so that a feature whose best partner is taken finds its next
best. While the gap is too large, candidates are added at the latest prices. Nothing needs an m × n matrix.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn.functional import relu

from mfr.compute.compiled import njit
from mfr.compute.devices import without_tf32
from mfr.compute.sparse import products
from mfr.compute.threads import arrays, each
from mfr.saes.nearest import Nearest, nearest

Array = np.ndarray
Pair = tuple[torch.Tensor, torch.Tensor]
CANDIDATES = 32  # per row and per column, each time that they are listed
SAMPLED_ROWS = 256  # for an estimate of the gap
EXACT = 1e-6  # rounding of a mean cosine
SLACK = 1e-3  # of an auction whose partners are then made exact


@dataclass(frozen=True)
class Assignment:
    """Partners (m) of A's features in B, chosen on a list of candidates.

    Row i may choose among candidates[starts[i]:starts[i + 1]]. `price` (n) has one price per feature of B. `gap` is how far the
    mean cosine may fall short of the best possible: the bound from all rows, or its estimate from a sample of rows.
    """

    partners: torch.Tensor
    price: torch.Tensor
    starts: torch.Tensor
    candidates: torch.Tensor
    gap: float


@without_tf32()
def solve(pairs: Sequence[Pair], max_gap: float = 0.0, near: Sequence[Nearest] = ()) -> list[Assignment]:
    """One-to-one partners of each pair A (m, d), B (n, d), m ≤ n, with a gap of at most `max_gap`.

    A `max_gap` of 0 stands for the best partners up to rounding: the bound from all rows is then at most 1e-6. `near` are the
    pairs' nearest features, `CANDIDATES` each, if they are known.
    """
    searches = [_Search(A, B, max_gap, _first(A, B)) for A, B in pairs]
    for search, own in zip(searches, near, strict=bool(near)):
        search.near = own
    return _finished(searches)


@without_tf32()
def follow(earlier: Sequence[Assignment], pairs: Sequence[Pair], max_gap: float) -> list[Assignment]:
    """Reassign drifted features of A and B (h, d) from earlier assignments, with a gap of at most `max_gap`.

    Solves on the earlier candidates in O(h · d), and lists candidates again only if the gap is too large.
    """
    searches = [_Search(A, B, max_gap, own) for own, (A, B) in zip(earlier, pairs, strict=True)]
    each(_Search.solve_on_list, searches)
    return _finished(searches)


def _first(A: torch.Tensor, B: torch.Tensor) -> Assignment:
    every = torch.arange(len(A), device=A.device)
    prices = torch.zeros(len(B), dtype=torch.float64, device=B.device)
    starts = torch.zeros(len(A) + 1, dtype=torch.int64, device=A.device)
    return Assignment(every, prices, starts, every[:0], np.inf if len(A) else 0.0)


@dataclass
class _Search:
    """The search for the partners of A's features in B.

    `near` are their nearest features at the prices of `own`, if they are known. `keeps` says that the candidates were listed
    in this search, and `ends` that a pass added none, so that only rounding is left of the gap.
    """

    A: torch.Tensor
    B: torch.Tensor
    max_gap: float
    own: Assignment
    near: Nearest | None = None
    keeps: bool = False
    ends: bool = False

    @property
    def is_done(self) -> bool:
        return self.ends or self.own.gap <= max(self.max_gap, EXACT)

    def find_nearest(self) -> None:
        if self.near is None:
            self.near = nearest(self.A, self.B, CANDIDATES, self.own.price, self._net())

    def improve(self) -> None:
        """Measure the gap from all rows; if it is too large, add the nearest features to the list and solve again."""
        assert self.near is not None
        if len(self.own.candidates):
            gap = relu(self.near.row_values[:, 0] - self._net()).mean().item()
            self.own = replace(self.own, gap=gap)
        if not self.is_done:
            before = len(self.own.candidates)
            self._list(self.near)
            self.ends = self.keeps and len(self.own.candidates) == before
        if not self.is_done:
            self.solve_on_list()
        self.near, self.keeps = None, True

    def _net(self) -> torch.Tensor:
        """Each row's cosine with its partner net of the partner's price (m); zeros before the first solution."""
        if not len(self.own.candidates):
            return torch.zeros_like(self.A[:, 0])
        cosines: torch.Tensor = torch.linalg.vecdot(self.A, self.B[self.own.partners])
        return cosines - self.own.price[self.own.partners].float()

    def _list(self, near: Nearest) -> None:
        """List the nearest features, the partners, and the candidates so far if they were listed in this search."""
        own, n = self.own, len(self.B)
        every_row, every_column = (torch.arange(len(features), device=features.device) for features in (self.A, self.B))
        entries = [every_row * n + own.partners, (every_row[:, None] * n + near.columns).flatten()]
        entries += [(near.rows * n + every_column[:, None]).flatten()]
        if self.keeps:
            entries += [torch.repeat_interleave(every_row, own.starts.diff()) * n + own.candidates]
        listed: torch.Tensor = torch.cat(entries).unique()  # type: ignore[no-untyped-call]
        starts = torch.searchsorted(listed, torch.arange(len(self.A) + 1, device=self.A.device) * n)
        self.own = replace(own, starts=starts, candidates=listed % n)

    def solve_on_list(self) -> None:
        """Solve on the list, and estimate the gap from a sample of rows if that does; `ValueError` if a cosine is NaN."""
        own, square = self.own, len(self.A) == len(self.B)
        cosines = products(self.A, self.B, own.starts, own.candidates).double()
        if cosines.isnan().any():
            raise ValueError("features with NaN have no partners")
        starts, candidates, entries = arrays(own.starts.cpu(), own.candidates.cpu(), cosines.cpu())
        partners, price = (array.copy() for array in arrays(own.partners.cpu(), own.price.cpu()))
        if square:
            _bid(starts, candidates, entries, partners, price, self.max_gap / 5 or SLACK)
        else:
            price[:] = 0  # also of features that lose their partners
        if self.max_gap == 0 or not square:
            _assign(starts, candidates, entries, partners, price)
        if square:
            price -= price.min()  # which would rise from one matching to the next
        found = [torch.from_numpy(array).to(self.A.device) for array in (partners, price)]
        self.own = replace(own, partners=found[0], price=found[1])
        self.own = replace(self.own, gap=self._sampled_gap() if self.max_gap > 0 else np.inf)

    def _sampled_gap(self) -> float:
        rows = slice(None, None, max(1, len(self.A) // SAMPLED_ROWS))
        net = self.A[rows] @ self.B.T - self.own.price.float()
        return (net.amax(dim=1) - net.gather(1, self.own.partners[rows, None]).squeeze(1)).mean().item()


def _finished(searches: list[_Search]) -> list[Assignment]:
    """Improve what has too large a gap until nothing has. A pass over all pairs of features uses all threads."""
    while waiting := [search for search in searches if not search.is_done]:
        for search in waiting:
            search.find_nearest()
        each(_Search.improve, waiting)
    return [search.own for search in searches]


@njit(cache=True, nogil=True)
def _bid(starts: Array, columns: Array, cosines: Array, partners: Array, price: Array, slack: float) -> None:
    """Overwrite partners (h) and prices (h) with an assignment on a list, by an auction.

    Row i may take columns[starts[i]:starts[i + 1]], with these cosines. Rows keep a partner that is within `slack` of their
    best net of prices. The others bid for their best column, raising its price by its lead over the second best and `slack`;
    so in the end all partners are within `slack` of the best.
    """
    h = len(partners)
    owner, free, count = np.full(h, -1), np.empty(h, np.int64), 0
    for row in range(h):
        _, best, _, _ = _best_two(row, starts, columns, cosines, price)
        if _own(row, starts, columns, cosines, partners, price) >= best - slack:
            owner[partners[row]] = row
        else:
            free[count] = row
            count += 1
    while count:
        row = free[count - 1]
        column, best, _, second = _best_two(row, starts, columns, cosines, price)
        price[column] += slack + (best - second if second > -np.inf else 2.0)
        displaced = owner[column]
        owner[column], partners[row] = row, column
        if displaced >= 0:
            free[count - 1] = displaced
        else:
            count -= 1


@njit(cache=True, nogil=True)
def _assign(starts: Array, columns: Array, cosines: Array, partners: Array, price: Array) -> None:
    """Overwrite partners (m) and prices (n) with the best assignment on a list, as in `_bid`.

    Rows keep a partner that is their best net of prices. The others take the shortest augmenting path. Columns without a
    partner must have a price of zero.
    """
    owner, free, count = np.full(len(price), -1), np.empty(len(partners), np.int64), 0
    for row in range(len(partners)):
        _, best, _, _ = _best_two(row, starts, columns, cosines, price)
        if _own(row, starts, columns, cosines, partners, price) == best:
            owner[partners[row]] = row
        else:
            free[count] = row
            count += 1
    _augment(starts, columns, cosines, free[:count], owner, partners, price)


@njit(cache=True)
def _own(row: int, starts: Array, columns: Array, cosines: Array, partners: Array, price: Array) -> float:
    """A row's cosine with its partner net of the price, or −∞ if its partner is not on its list."""
    for entry in range(starts[row], starts[row + 1]):
        if columns[entry] == partners[row]:
            return cosines[entry] - price[partners[row]]  # type: ignore[no-any-return]
    return -np.inf


@njit(cache=True)
def _best_two(row: int, starts: Array, columns: Array, cosines: Array, price: Array) -> tuple[int, float, int, float]:
    """A row's best column with its value net of prices, and the same of its second best."""
    column, best, other, second = -1, -np.inf, -1, -np.inf
    for entry in range(starts[row], starts[row + 1]):
        value = cosines[entry] - price[columns[entry]]
        if value > best:
            column, best, other, second = columns[entry], value, column, best
        elif value > second:
            other, second = columns[entry], value
    return column, best, other, second


@njit(cache=True)
def _augment(starts: Array, columns: Array, cosines: Array, free: Array, owner: Array, partners: Array, price: Array) -> None:
    """Give each free row a column, by the shortest path of reassignments to a free column."""
    value = np.array([_best_two(row, starts, columns, cosines, price)[1] for row in range(len(partners))])
    distance, via = np.full(len(price), np.inf), np.empty(len(price), np.int64)
    for root in free:
        # numba infers the types of empty lists from such comprehensions.
        reached, passed = [0 for _ in range(0)], [0 for _ in range(0)]
        heap = [(0.0, 0) for _ in range(0)]
        row, far = root, 0.0
        while True:
            for entry in range(starts[row], starts[row + 1]):
                column = columns[entry]
                # Rounding must not shorten a path as it grows.
                through = far + max(0.0, value[row] - (cosines[entry] - price[column]))
                if through < distance[column]:
                    if distance[column] == np.inf:
                        reached.append(column)
                    distance[column], via[column] = through, row
                    heapq.heappush(heap, (through, column))
            far, column = heapq.heappop(heap)
            while far > distance[column]:
                far, column = heapq.heappop(heap)
            if owner[column] < 0:
                break
            passed.append(column)
            row = owner[column]
        for between in passed:
            price[between] += far - distance[between]
            value[owner[between]] -= far - distance[between]
        value[root] -= far
        row = -1
        while row != root:
            row = via[column]
            owner[column] = row
            partners[row], column = column, partners[row]
        for column in reached:
            distance[column] = np.inf
