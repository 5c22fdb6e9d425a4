"""What is done about dead latents: an auxiliary loss that makes them learn, and features taken from another SAE."""

import torch
from torch.nn.functional import normalize

from mfr.method import AuxK
from mfr.sae import Activation, decode, encode


def auxk_gradients(
    x: torch.Tensor,
    error: torch.Tensor,
    W: torch.Tensor,
    b: torch.Tensor,
    settings: AuxK,
    activation: Activation,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients of AuxK with respect to dead latents W (m, d), b (m) alone.

    The loss is weight · mean(x²) · mean over rows of ‖ê − e‖² / ‖e‖² (Gao et al., 2024, appendix A.2): e = x − x̂ is `error`
    (B, d), ê its reconstruction by the k_aux dead latents that are largest on x. OpenAI's losses are relative to their
    targets; mean(x²) makes this one fit a mean squared error.
    """
    W, b = W.clone().requires_grad_(), b.clone().requires_grad_()
    values, indices = encode(x, W, b, min(settings.k, len(W)), activation)
    missed = (decode(values, indices, W) - error).square().sum(dim=1) / error.square().sum(dim=1)
    loss = settings.weight * x.square().mean() * missed.mean()
    d_W, d_b = torch.autograd.grad(loss, [W, b])
    return d_W, d_b


def least_alike(own: torch.Tensor, other: torch.Tensor, most: int) -> torch.Tensor:
    """Which of the features `other` (m, d) are least like any of `own` (l, d), at most `most` of them, the strangest first."""
    nearest = (normalize(other, dim=1) @ normalize(own, dim=1).T).amax(dim=1)
    return nearest.argsort()[:most]
