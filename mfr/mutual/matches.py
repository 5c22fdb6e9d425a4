"""Which latents of an ensemble belong together, for all pairs of its SAEs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations, repeat

import torch
from torch.nn.functional import normalize

from mfr.compute.threads import each
from mfr.mutual.assignment import Assignment, follow, solve
from mfr.saes.similarity import Matching, matched


@dataclass(frozen=True)
class Match:
    """Features of two SAEs that belong together: rows of the first with columns of the second, (m) each.

    `assignment` is what one-to-one partners come from, if they are followed, and `stale` is the mean cosine that the match
    before had lost when it was replaced.
    """

    rows: torch.Tensor
    columns: torch.Tensor
    assignment: Assignment | None = None
    stale: float = 0.0

    @property
    def gap(self) -> float:
        """By how much the mean cosine may fall short of the best one-to-one partners'."""
        return self.assignment.gap if self.assignment else 0.0


def match(W: torch.Tensor, matching: Matching, max_gap: float, earlier: Sequence[Match] = ()) -> list[Match]:
    """What `mfr.saes.similarity.matched` finds, for all pairs i < j of the SAEs W (n, h, d), in order.

    One-to-one partners follow `earlier` ones as long as their gap is at most `max_gap`, and are the best where that is 0.
    """
    features = normalize(W, dim=2)

    def of_pair(pair: tuple[torch.Tensor, torch.Tensor], before: Match | None) -> Match:
        A, B = pair
        if matching != "hungarian" or max_gap == 0:
            found = Match(*matched(A @ B.T, matching))
        else:
            assignment = follow(before.assignment, A, B, max_gap) if before and before.assignment else solve(A, B)
            found = Match(torch.arange(len(A), device=A.device), assignment.partners, assignment)
        lost = (_mean_cosine(A, B, found) - _mean_cosine(A, B, before)).item() if before else 0.0
        return replace(found, stale=lost)

    return each(of_pair, combinations(features, 2), earlier or repeat(None))


def _mean_cosine(A: torch.Tensor, B: torch.Tensor, match: Match) -> torch.Tensor:
    return torch.linalg.vecdot(A[match.rows], B[match.columns]).mean()


@dataclass(frozen=True)
class Links:
    """Matches as lists: feature f of all n · h belongs with partners[starts[f]:starts[f + 1]]; each weighs `share`."""

    starts: torch.Tensor
    partners: torch.Tensor
    share: float


def links(matches: Sequence[Match], saes: int, hidden: int) -> Links:
    """The matches of all pairs of n SAEs with h latents, in both directions.

    A pair of features weighs what it does in the mean over SAEs and features (paper, section 3.3), also where fewer belong
    together.
    """
    pairs = list(combinations(range(saes), 2))
    left = torch.cat([i * hidden + match.rows for (i, _), match in zip(pairs, matches, strict=True)])
    right = torch.cat([j * hidden + match.columns for (_, j), match in zip(pairs, matches, strict=True)])
    features, order = torch.cat([left, right]).sort(stable=True)
    starts = torch.searchsorted(features, torch.arange(saes * hidden + 1, device=features.device))
    return Links(starts, torch.cat([right, left])[order], share=1 / max(len(left), len(pairs) * hidden))
