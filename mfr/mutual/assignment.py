"""One-to-one partners of two dictionaries' features, followed while the features drift.

The first assignment is solved among all pairs, later ones on a short list of candidates. The list has each feature's nearest
features net of prices, so that a feature whose best partner is taken finds its next best. Each solution starts from the last
prices and partners, which leaves little to do. Any prices bound the optimum,

    mean of S over the best assignment ≤ mean(price) + mean over rows of max_j (S_ij − price_j)

with S the cosines. If the bound leaves too large a gap, candidates are listed again; if that does not close the gap, the
assignment is solved among all pairs again. A and B (h, d) hold features of unit length.
"""

import heapq
from dataclasses import dataclass, replace

import numpy as np
import torch
from numba import njit

from mfr.compute.sparse import products
from mfr.saes.similarity import hungarian

CANDIDATES = 16  # per row and per column
LISTINGS = 3  # fresh lists that are tried before all pairs
SAMPLED_ROWS = 256  # for the gap of an earlier list
REDUCTIONS = 3  # rounds of bids before paths are searched


@dataclass(frozen=True)
class Assignment:
    """Partners (h) of A's features in B, chosen on a list of candidates.

    Row i may choose among candidates[starts[i]:starts[i + 1]]. `price` (h) has one price per feature of B. `gap` is how far the
    mean cosine may fall short of the best possible. It is a bound from all rows if the candidates are fresh, else an estimate
    of the bound from a sample of rows.
    """

    partners: torch.Tensor
    price: torch.Tensor
    starts: torch.Tensor
    candidates: torch.Tensor
    gap: float


def solve(A: torch.Tensor, B: torch.Tensor) -> Assignment:
    """The best assignment among all h × h pairs."""
    return _solve(A @ B.T)


def follow(earlier: Assignment, A: torch.Tensor, B: torch.Tensor, max_gap: float) -> Assignment:
    """Reassign drifted features, from an earlier assignment, with a gap of at most `max_gap`.

    Solves on the earlier candidates in O(h · d), and measures the gap on a sample of rows. If the gap is too large, lists
    candidates again from all cosines. If that does not help either, solves among all pairs.
    """
    listed = _on_list(earlier, products(A, B, earlier.starts, earlier.candidates))
    gap = _sampled_gap(listed, A, B)
    if gap <= max_gap:
        return replace(listed, gap=gap)
    S = A @ B.T
    for _ in range(LISTINGS):
        listed = _relist(listed.partners, listed.price, S)
        if listed.gap <= max_gap:
            return listed
    return _solve(S)


def _sampled_gap(listed: Assignment, A: torch.Tensor, B: torch.Tensor) -> float:
    """Mean advantage, net of prices, of a sampled row's best column over its partner."""
    rows = slice(None, None, max(1, len(A) // SAMPLED_ROWS))
    net = A[rows] @ B.T - listed.price.float()
    return (net.amax(dim=1) - net.gather(1, listed.partners[rows, None]).squeeze(1)).mean().item()


def _solve(S: torch.Tensor) -> Assignment:
    partners = hungarian(S)[1]
    price = _relist(partners, torch.zeros_like(S[0], dtype=torch.float64), S).price
    return Assignment(partners, price, *_candidates(S, partners, price), gap=0.0)


def _relist(partners: torch.Tensor, price: torch.Tensor, S: torch.Tensor) -> Assignment:
    starts, columns = _candidates(S, partners, price)
    rows = torch.repeat_interleave(torch.arange(len(S), device=S.device), starts.diff())
    listed = _on_list(Assignment(partners, price, starts, columns, gap=np.inf), S[rows, columns])
    bound = listed.price.mean() + (S - listed.price.float()).amax(dim=1).mean()
    return replace(listed, gap=(bound - S.gather(1, listed.partners[:, None]).mean()).item())


def _candidates(S: torch.Tensor, partners: torch.Tensor, price: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Starts (h + 1) and columns of a fresh list.

    It has the best entries net of prices of each row and each column, and the partners.
    """
    h = len(S)
    count, every = min(CANDIDATES, h), torch.arange(h, device=S.device)
    net = S - price.float()
    of_rows = (every[:, None] * h + net.topk(count, dim=1, sorted=False).indices).flatten()
    # A column ranks rows by what they lose against their best column. Its own price shifts all its entries alike.
    net -= net.amax(dim=1, keepdim=True)
    of_columns = (net.T.contiguous().topk(count, dim=1, sorted=False).indices * h + every[:, None]).flatten()
    entries = torch.cat([of_rows, of_columns, every * h + partners]).unique()  # type: ignore[no-untyped-call]
    return torch.searchsorted(entries, torch.arange(h + 1, device=S.device) * h), entries % h


def _on_list(earlier: Assignment, cosines: torch.Tensor) -> Assignment:
    listed = [tensor.cpu().numpy() for tensor in (earlier.starts, earlier.candidates, cosines.double())]
    partners, price = (tensor.cpu().numpy().copy() for tensor in (earlier.partners, earlier.price))
    _assign(*listed, partners, price)
    return replace(
        earlier,
        partners=torch.from_numpy(partners).to(cosines.device),
        price=torch.from_numpy(price).to(cosines.device),
    )


# numba is untyped, hence the ignored errors.
@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _assign(starts: np.ndarray, columns: np.ndarray, cosines: np.ndarray, partners: np.ndarray, price: np.ndarray) -> None:
    """Overwrite partners (h) and prices (h) with the best assignment on a list.

    Row i may take columns[starts[i]:starts[i + 1]], with these cosines. Rows keep a partner that is their best net of prices.
    The other rows bid for their best column, raising its price by its lead over the second best. Rows that are still free then
    take the shortest augmenting path (Jonker and Volgenant, 1987). There is little to do if partners and prices are near the
    solution.
    """
    h = len(partners)
    owner = np.full(h, -1)
    free = np.empty(h, np.int64)
    count = 0
    for row in range(h):
        _, best, _, _ = _best_two(row, starts, columns, cosines, price)
        own = -np.inf
        for entry in range(starts[row], starts[row + 1]):
            if columns[entry] == partners[row]:
                own = cosines[entry] - price[partners[row]]
        if own == best:
            owner[partners[row]] = row
        else:
            free[count] = row
            count += 1
    for _ in range(REDUCTIONS):
        bidding, count = count, 0
        for place in range(bidding):
            row = free[place]
            column, best, other, second = _best_two(row, starts, columns, cosines, price)
            if best == second and owner[column] >= 0:
                column = other
            if second > -np.inf:
                price[column] += best - second
                displaced = owner[column]
                owner[column], partners[row] = row, column
                row = displaced
            if row >= 0:
                free[count] = row
                count += 1
    _augment(starts, columns, cosines, free[:count], owner, partners, price)


@njit(cache=True)  # type: ignore[untyped-decorator]
def _best_two(
    row: int, starts: np.ndarray, columns: np.ndarray, cosines: np.ndarray, price: np.ndarray
) -> tuple[int, float, int, float]:
    """A row's best column with its value net of prices, and the same of its second best."""
    column, best, other, second = -1, -np.inf, -1, -np.inf
    for entry in range(starts[row], starts[row + 1]):
        value = cosines[entry] - price[columns[entry]]
        if value > best:
            column, best, other, second = columns[entry], value, column, best
        elif value > second:
            other, second = columns[entry], value
    return column, best, other, second


@njit(cache=True)  # type: ignore[untyped-decorator]
def _augment(
    starts: np.ndarray,
    columns: np.ndarray,
    cosines: np.ndarray,
    free: np.ndarray,
    owner: np.ndarray,
    partners: np.ndarray,
    price: np.ndarray,
) -> None:
    """Give each free row a column, by the shortest path of reassignments to a free column."""
    h = len(partners)
    value = np.array([_best_two(row, starts, columns, cosines, price)[1] for row in range(h)])
    distance, via = np.full(h, np.inf), np.empty(h, np.int64)
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
