"""Mutual Feature Regularization: the penalty, its weight, and the rule that starts an SAE anew (paper, section 3.3)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations, repeat
from typing import Literal

import torch
from torch.nn.functional import embedding_bag, normalize

from mfr.assignment import Assignment, follow, solve
from mfr.loops import each
from mfr.matching import Matching, matched
from mfr.method import Alpha

Statistic = Literal["absolute", "cubed"]


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
    """What `mfr.matching.matched` finds, for all pairs i < j of the SAEs W (n, h, d), in order.

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


def pull(W: torch.Tensor, links: Links, weights: torch.Tensor, d_W: torch.Tensor) -> torch.Tensor:
    """The penalty of W (n, h, d); its gradient, for each latent times one of `weights` (n, h), is added to d_W (n, h, d).

    penalty = Σ share · (1 − cos(u, v)) over the matches, and ∂cos(u, v)/∂u = (v̂ − cos(u, v) û) / ‖u‖: the sum over a
    feature's matches needs Σ v̂ alone. O(matches · d), without a matrix of h × h.
    """
    features, d_features = W.view(-1, W.shape[2]), d_W.view(-1, W.shape[2])
    norm = features.norm(dim=1, keepdim=True)
    u = features / norm
    together = embedding_bag(links.partners, u, links.starts[:-1], mode="sum")
    cosines = (together * u).sum(dim=1, keepdim=True)
    d_features.sub_((together - cosines * u) * (weights.view(-1, 1) * links.share / norm))
    return (len(links.partners) - cosines.sum()) * (links.share / 2)


def warmup(step: int, steps: int) -> float:
    """Share of the penalty's full weight at a step: a half cosine from 0 to 1 over `steps` (paper, section 4.1)."""
    return 1.0 if step >= steps else (1 - math.cos(math.pi * step / steps)) / 2


def alpha(setting: Alpha, factor: float, loss: float, penalty: float) -> float:
    """Weight α from its setting, the first step's loss (the mean over SAEs) and its penalty.

    `balanced` makes an SAE's loss and the penalty equal (paper, section 4.1), `initial_loss` takes the loss itself
    (section 4.2). `relative` is to be multiplied by an SAE's loss at each step, which makes both equal as long as the penalty
    is what it was.
    """
    if setting == "relative":
        return factor / max(penalty, 1e-12)
    if setting == "balanced":
        return factor * loss / max(penalty, 1e-12)
    if setting == "initial_loss":
        return factor * loss
    return factor * setting


def unevenness(share: torch.Tensor, k: int, statistic: Statistic) -> float:
    """How far the latents' activity (h) is from k/h: the mean of |f − k/h| / (k/h) (paper, figure 6), or of its cube.

    A latent that is never active adds 1/h to either; one that is always active (h/k − 1)/h or (h/k − 1)³/h.
    """
    expected = k / len(share)
    deviation = (share - expected).abs() / expected
    return (deviation**3 if statistic == "cubed" else deviation).mean().item()
