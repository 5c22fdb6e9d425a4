"""Mutual Feature Regularization: the penalty, its weight, and the rule that starts an SAE anew (paper, section 3.3)."""

import math
from itertools import combinations
from typing import Literal

import torch

from mfr.matching import Matching, partners

Statistic = Literal["absolute", "cubed"]


class MutualPenalty:
    """1 − the mean cosine of matched features, averaged over all pairs of n SAEs, with stored partners.

    For SAEs i < j with rows wᵢ, wⱼ and partners π: penalty = 1 − mean over pairs and rows of cos(wᵢ_r, wⱼ_π(r)), and
    ∂cos(u, v)/∂u = (v̂ − cos(u, v) û) / ‖u‖. Partners are recomputed by `match`; in between, value and gradient are those
    of the stored pairs. Memory and time are O(pairs · h · d), without a matrix of h × h save in `match`.
    """

    def __init__(self, matching: Matching, saes: int) -> None:
        self.matching: Matching = matching
        self.pairs = list(combinations(range(saes), 2))
        self.partners: torch.Tensor | None = None

    def match(self, W: torch.Tensor) -> None:
        """Recompute the partners of all pairs of SAEs in W (n, h, d)."""
        self.partners = torch.stack([partners(W[i], W[j], self.matching) for i, j in self.pairs])

    def value_and_gradient(self, W: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The penalty of W (n, h, d) at the stored partners, and its gradient (n, h, d).

        Raises `ValueError` before the first `match`.
        """
        if self.partners is None:
            raise ValueError("the partners are unknown: call match first")
        norm = W.norm(dim=2, keepdim=True)
        gradient = torch.zeros_like(W)
        similarity = torch.zeros((), device=W.device)
        scale = 1 / (len(self.pairs) * W.shape[1])
        for (i, j), partner in zip(self.pairs, self.partners, strict=True):
            u, v = W[i] / norm[i], W[j][partner] / norm[j][partner]
            cosine = (u * v).sum(dim=1, keepdim=True)
            similarity += cosine.mean() / len(self.pairs)
            gradient[i].add_((v - cosine * u) / norm[i], alpha=-scale)
            gradient[j].index_add_(0, partner, (u - cosine * v) / norm[j][partner], alpha=-scale)
        return 1 - similarity, gradient


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


def activity(indices: torch.Tensor, hidden: int) -> torch.Tensor:
    """Share of a batch (h) in which each latent is active, from the active latents' indices (B, k)."""
    return torch.bincount(indices.flatten(), minlength=hidden) / len(indices)


def unevenness(share: torch.Tensor, k: int, statistic: Statistic) -> float:
    """How far the latents' activity (h) is from k/h: the mean of |f − k/h| / (k/h) (paper, figure 6), or of its cube.

    A latent that is never active adds 1/h to either; one that is always active (h/k − 1)/h or (h/k − 1)³/h.
    """
    expected = k / len(share)
    deviation = (share - expected).abs() / expected
    return (deviation**3 if statistic == "cubed" else deviation).mean().item()
