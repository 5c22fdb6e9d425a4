"""Match the features of an ensemble, for all pairs of its SAEs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations, repeat

import torch
from torch.nn.functional import normalize

from mfr.compute.threads import each
from mfr.config.training import Matching
from mfr.mutual.assignment import Assignment, follow, solve
from mfr.saes.similarity import matched


@dataclass(frozen=True)
class Match:
    """Matched features of two SAEs: rows (m) of the first with columns (m) of the second.

    `assignment` is the solution behind one-to-one partners that are followed. `stale` is how much lower the mean cosine of the
    previous match was when this one replaced it.
    """

    rows: torch.Tensor
    columns: torch.Tensor
    assignment: Assignment | None = None
    stale: float = 0.0

    @property
    def gap(self) -> float:
        """How far the mean cosine may fall short of that of the best one-to-one partners."""
        return self.assignment.gap if self.assignment else 0.0


def match(W: torch.Tensor, matching: Matching, max_gap: float, earlier: Sequence[Match] = ()) -> list[Match]:
    """Matches of all pairs i < j of the SAEs W (n, h, d), in order.

    `mfr.saes.similarity.matched` defines each `matching`. One-to-one partners follow the `earlier` ones, with a gap of at most
    `max_gap`; if `max_gap` is 0, they are solved exactly.
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
    cosines: torch.Tensor = torch.linalg.vecdot(A[match.rows], B[match.columns])
    return cosines.mean()


@dataclass(frozen=True)
class Links:
    """Matches as flat lists: feature f of all n · h has partners[starts[f]:starts[f + 1]].

    Feature f is latent f mod h of SAE f // h. Each match has the weight `share` in the penalty.
    """

    starts: torch.Tensor
    partners: torch.Tensor
    share: float


def links(matches: Sequence[Match], saes: int, hidden: int) -> Links:
    """Flat lists of the matches of all pairs of SAEs, in both directions.

    Each match has the weight that it has in the mean over all pairs of SAEs and all h features (paper, section 3.3), even if
    fewer features are matched.
    """
    pairs = list(combinations(range(saes), 2))
    left = torch.cat([i * hidden + match.rows for (i, _), match in zip(pairs, matches, strict=True)])
    right = torch.cat([j * hidden + match.columns for (_, j), match in zip(pairs, matches, strict=True)])
    features, order = torch.cat([left, right]).sort(stable=True)
    starts = torch.searchsorted(features, torch.arange(saes * hidden + 1, device=features.device))
    return Links(starts, torch.cat([right, left])[order], share=1 / max(len(left), len(pairs) * hidden))
