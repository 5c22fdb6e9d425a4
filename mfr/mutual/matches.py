"""Match the features of an ensemble, for all pairs of its SAEs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import torch
from torch.nn.functional import normalize

from mfr.config.training import Matching
from mfr.saes.assignment import Assignment, follow, solve
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
    `max_gap`; if `max_gap` is 0, they are the best up to rounding.
    """
    pairs = list(combinations(normalize(W, dim=2), 2))
    if matching == "hungarian":
        before = [own.assignment for own in earlier if own.assignment]
        assigned = follow(before, pairs, max_gap) if before else solve(pairs, max_gap)
        found = [Match(torch.arange(W.shape[1], device=W.device), own.partners, own) for own in assigned]
    else:
        found = [Match(*matched(A, B, matching)) for A, B in pairs]
    if earlier:
        found = [replace(own, stale=_lost(*pair, own, old)) for pair, own, old in zip(pairs, found, earlier, strict=True)]
    return found


def _lost(A: torch.Tensor, B: torch.Tensor, found: Match, earlier: Match) -> float:
    """How much lower the mean cosine of the earlier match is."""
    cosines: list[torch.Tensor] = [torch.linalg.vecdot(A[match.rows], B[match.columns]) for match in (found, earlier)]
    return (cosines[0].mean() - cosines[1].mean()).item()


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
