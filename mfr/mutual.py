"""Mutual Feature Regularization: the penalty, its weight, and the rule that starts an SAE anew (paper, section 3.3)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import torch
from torch.nn.functional import embedding_bag, normalize

from mfr.assignment import Assignment, follow, solve
from mfr.matching import Matching, hungarian

Statistic = Literal["absolute", "cubed"]


@dataclass(frozen=True)
class Matches:
    """Partners of all pairs i < j of n SAEs, in order: partners[pair][r] is the feature of j that belongs to feature r of i.

    `assignments` are those that one-to-one partners come from, and `stale` is the mean cosine that the partners before had
    lost when they were replaced.
    """

    partners: tuple[torch.Tensor, ...]
    assignments: tuple[Assignment, ...] = ()
    stale: float = 0.0

    @property
    def gap(self) -> float:
        """By how much a pair's mean cosine may fall short of the best one-to-one partners': the largest bound."""
        return max((assignment.gap for assignment in self.assignments), default=0.0)


def match(W: torch.Tensor, matching: Matching, max_gap: float, earlier: Matches | None = None) -> Matches:
    """Partners of the features W (n, h, d): the nearest (paper, section 3.3), or one to one, the best where max_gap is 0.

    Else one-to-one partners follow `earlier` ones as long as the gap allows it.
    """
    features = normalize(W, dim=2)
    pairs = list(combinations(features, 2))
    assignments: tuple[Assignment, ...] = ()
    if matching == "max":
        partners = tuple((A @ B.T).argmax(dim=1) for A, B in pairs)
    elif max_gap == 0:
        partners = tuple(hungarian(A @ B.T)[1] for A, B in pairs)
    else:
        assignments = tuple(
            follow(earlier.assignments[pair], A, B, max_gap) if earlier else solve(A, B) for pair, (A, B) in enumerate(pairs)
        )
        partners = tuple(assignment.partners for assignment in assignments)
    stale = 0.0 if earlier is None else _mean_cosine(pairs, partners) - _mean_cosine(pairs, earlier.partners)
    return Matches(partners, assignments, stale)


def _mean_cosine(pairs: Sequence[tuple[torch.Tensor, torch.Tensor]], partners: tuple[torch.Tensor, ...]) -> float:
    return torch.stack([(A * B[partner]).sum(dim=1).mean() for (A, B), partner in zip(pairs, partners)]).mean().item()


@dataclass(frozen=True)
class Links:
    """The partners as lists: those of feature f of all n · h are partners[starts[f]:starts[f + 1]]; a link weighs `share`."""

    starts: torch.Tensor
    partners: torch.Tensor
    share: float


def links(matches: Matches, saes: int) -> Links:
    """Every match of n SAEs in both directions."""
    pairs, hidden = list(combinations(range(saes), 2)), len(matches.partners[0])
    every = torch.arange(hidden, device=matches.partners[0].device)
    left = torch.cat([i * hidden + every for i, _ in pairs])
    right = torch.cat([j * hidden + partner for (_, j), partner in zip(pairs, matches.partners, strict=True)])
    features, order = torch.cat([left, right]).sort(stable=True)
    starts = torch.searchsorted(features, torch.arange(saes * hidden + 1, device=every.device))
    return Links(starts, torch.cat([right, left])[order], share=1 / (len(pairs) * hidden))


def pull(W: torch.Tensor, links: Links, weight: float, d_W: torch.Tensor) -> torch.Tensor:
    """The penalty of W (n, h, d); its gradient times `weight` is added to d_W (n, h, d).

    penalty = 1 − mean over pairs of SAEs and features of cos(u, v), v the partner of u, and ∂cos(u, v)/∂u =
    (v̂ − cos(u, v) û) / ‖u‖: the sum over a feature's links needs Σ v̂ alone. O(links · d), without a matrix of h × h.
    """
    features, d_features = W.view(-1, W.shape[2]), d_W.view(-1, W.shape[2])
    norm = features.norm(dim=1, keepdim=True)
    u = features / norm
    together = embedding_bag(links.partners, u, links.starts[:-1], mode="sum")
    cosines = (together * u).sum(dim=1, keepdim=True)
    d_features.add_((together - cosines * u) / norm, alpha=-weight * links.share)
    return 1 - cosines.sum() * (links.share / 2)


def warmup(step: int, steps: int) -> float:
    """Share of the penalty's full weight at a step: a half cosine from 0 to 1 over `steps` (paper, section 4.1)."""
    return 1.0 if step >= steps else (1 - math.cos(math.pi * step / steps)) / 2


def alpha(setting: float | Literal["balanced", "initial_loss"], factor: float, loss: float, penalty: float) -> float:
    """Weight α from its setting, the first step's loss (the mean over SAEs) and its penalty.

    `balanced` makes an SAE's loss and the penalty equal (paper, section 4.1), `initial_loss` takes the loss itself
    (section 4.2).
    """
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
