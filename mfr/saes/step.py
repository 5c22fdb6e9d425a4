"""The exact gradient of an SAE's loss, without a dense matrix of latents.

With g = ∂loss/∂x̂ = 2 (x̂ − x) / (B d) and p = ⟨g, W_l⟩ (B, k), the chain rule gives

    ∂loss/∂v = p / ‖W_l‖
    ∂loss/∂W = Σ_{active} a g + (∂loss/∂v) x − (p a / ‖W‖²) W
    ∂loss/∂b = Σ_{active} ∂loss/∂v

in the notation of `mfr.saes.ensemble` (paper, section 2.1). Only the k active latents of a row take part. Each sum is over
(latent, row) pairs, sorted by latent.
"""

from dataclasses import dataclass

import torch
from torch.nn.functional import embedding_bag

from mfr.compute.sparse import products
from mfr.config.training import Activation, Precision
from mfr.saes.ensemble import preactivations, top


@dataclass
class Member:
    """One SAE of an ensemble in training: weights, gradients and settings.

    W and d_W are (h, d), b and d_b (h): views of the ensemble's tensors.
    """

    W: torch.Tensor
    b: torch.Tensor
    d_W: torch.Tensor
    d_b: torch.Tensor
    k: int
    activation: Activation
    precision: Precision = "float32"


@dataclass
class Step:
    """Result of one SAE's step on a batch: loss, counts (h) and g = ∂loss/∂x̂ (B, d).

    `counts` is the number of rows in which each latent was selected. A selected latent that `topk_relu` sets to zero counts
    here, but not in `mfr.evaluation.metrics`.
    """

    loss: torch.Tensor
    counts: torch.Tensor
    g: torch.Tensor


def loss_and_gradients(member: Member, x: torch.Tensor, target: torch.Tensor | None = None) -> Step:
    """Compute one SAE's loss on x (B, d) and overwrite d_W and d_b with its gradient.

    The loss is the mean squared error per element. If x is noisy, `target` (B, d) is the clean x, and the error is x̂ − target.
    Works on any device. It is the reference for `mfr.saes.step_cpu` and `mfr.saes.step_gpu`, which are faster.
    """
    W, k = member.W, member.k
    norm = W.norm(dim=1)
    values, indices = top(preactivations(x, W, member.b, member.precision), k, member.activation)
    active_norm = norm[indices]
    a = values / active_norm
    residual = embedding_bag(indices, W, per_sample_weights=a, mode="sum") - (x if target is None else target)
    g = residual * (2 / residual.numel())
    p = products(g, W, torch.arange(0, indices.numel() + 1, k, device=x.device), indices.flatten()).view_as(a)
    d_values = p / active_norm
    if member.activation == "topk_relu":
        d_values = torch.where(values > 0, d_values, 0.0)

    latents, order = indices.flatten().sort()
    starts = torch.searchsorted(latents, torch.arange(len(W) + 1, device=x.device))
    rows = order // k

    def sum_by_latent(coefficients: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        return embedding_bag(rows, vectors, starts[:-1], per_sample_weights=coefficients.flatten()[order], mode="sum")

    ones = torch.ones(1, 1, device=x.device).expand(len(x), 1)
    member.d_b.copy_(sum_by_latent(d_values, ones).squeeze(1))
    torch.add(sum_by_latent(a, g), sum_by_latent(d_values, x), out=member.d_W)
    member.d_W -= sum_by_latent(p * a, ones) / norm.square()[:, None] * W
    return Step(residual.square().mean(), starts.diff(), g)
