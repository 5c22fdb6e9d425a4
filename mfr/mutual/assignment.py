"""One-to-one partners of two dictionaries' features, followed while the features drift.

The best assignment is first found among all pairs, then among a short list of candidates: for each feature those that are
nearest net of prices, so that a feature whose best partner is taken finds its next best. Prices and partners go on from the
last solution, which leaves little to do. Any prices bound the optimum,

    mean of S over the best assignment ≤ mean(price) + mean over rows of max_j (S_ij − price_j)

with S the cosines; where this leaves too much open, the assignment is solved among all pairs again.
A and B hold features of unit length, (h, d).
"""

import heapq
from dataclasses import dataclass, replace

import numpy as np
import torch
from numba import njit

from mfr.compute.sparse import products
from mfr.saes.similarity import hungarian

CANDIDATES = 16
LISTINGS = 3
SAMPLED_ROWS = 256
REDUCTIONS = 3


@dataclass(frozen=True)
class Assignment:
    """Partners (h) of A's features in B, chosen among candidates[starts[i]:starts[i + 1]] for row i.

    price (h) is that of each feature of B. gap is by how much the mean cosine may fall short of the best possible: a bound
    from all rows where the candidates are new, else from a sample of them.
    """

    partners: torch.Tensor
    price: torch.Tensor
    starts: torch.Tensor
    candidates: torch.Tensor
    gap: float


def solve(A: torch.Tensor, B: torch.Tensor) -> Assignment:
    """The best assignment, from all h × h cosines."""
    return _solve(A @ B.T)


def follow(earlier: Assignment, A: torch.Tensor, B: torch.Tensor, max_gap: float) -> Assignment:
    """The best assignment among the candidates of an earlier one, in O(h · d), where its gap is at most `max_gap`.

    The gap is measured on a sample of rows. Where it is larger, candidates are listed anew from all cosines, and where that
    does not help either, the best assignment is found among all pairs.
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
    """By how much, on average, a row would rather have another column than its partner, at the prices."""
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
    """Each row's and each column's best net of prices, and the partners: starts (h + 1) and columns."""
    h = len(S)
    count, every = min(CANDIDATES, h), torch.arange(h, device=S.device)
    net = S - price.float()
    of_rows = (every[:, None] * h + net.topk(count, dim=1, sorted=False).indices).flatten()
    # A column's own price is in all its entries, and changes no order among them.
    net -= net.amax(dim=1, keepdim=True)
    of_columns = (net.T.contiguous().topk(count, dim=1, sorted=False).indices * h + every[:, None]).flatten()
    entries = torch.cat([of_rows, of_columns, every * h + partners]).unique()
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


@njit(cache=True, nogil=True)
def _assign(starts, columns, cosines, partners, price):
    """The best assignment on a list, in place, from partners and prices near to it (Jonker and Volgenant, 1987).

    Rows keep a partner that is their best net of prices. The others bid for their best, by as much as the second best allows,
    and what is still free then finds the shortest augmenting path.
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


@njit(cache=True)
def _best_two(row, starts, columns, cosines, price):
    """A row's best column net of prices with its value, and the second best."""
    column, best, other, second = -1, -np.inf, -1, -np.inf
    for entry in range(starts[row], starts[row + 1]):
        value = cosines[entry] - price[columns[entry]]
        if value > best:
            column, best, other, second = columns[entry], value, column, best
        elif value > second:
            other, second = columns[entry], value
    return column, best, other, second


@njit(cache=True)
def _augment(starts, columns, cosines, free, owner, partners, price):
    """Give each free row a column, by the shortest path of reassignments that ends at a free column."""
    h = len(partners)
    value = np.array([_best_two(row, starts, columns, cosines, price)[1] for row in range(h)])
    distance, via = np.full(h, np.inf), np.empty(h, np.int64)
    for root in free:
        reached, passed = [0 for _ in range(0)], [0 for _ in range(0)]
        heap = [(0.0, 0) for _ in range(0)]
        row, far = root, 0.0
        while True:
            for entry in range(starts[row], starts[row + 1]):
                column = columns[entry]
                # Rounding must not lower what was passed already.
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
