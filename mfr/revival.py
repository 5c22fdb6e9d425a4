"""What is done about dead latents: an auxiliary loss that makes them learn, and features taken from other SAEs."""

from dataclasses import dataclass

import torch
from torch.nn.functional import normalize

from mfr.method import AuxK, Transplant
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


@dataclass(frozen=True)
class Overwrite:
    """Latents of one SAE, and those of a donor that are put in their place."""

    sae: int
    latents: torch.Tensor
    donor: int
    features: torch.Tensor


def transplants(W: torch.Tensor, idle: torch.Tensor, settings: Transplant, turn: int) -> list[Overwrite]:
    """Each SAE's dead latents, and as many live features of another SAE that are least like its own live ones.

    W (n, h, d), idle (n, h) steps since each latent was active; `turn` chooses the donor.
    """
    features, dead, n = normalize(W, dim=2), idle >= settings.dead_after, len(W)
    plans = []
    for i in range(n):
        donor = (i + 1 + turn % (n - 1)) % n
        vacant, live = dead[i].nonzero().flatten(), (~dead[donor]).nonzero().flatten()
        nearest = (features[donor, live] @ features[i, ~dead[i]].T).amax(dim=1)
        taken = live[nearest.argsort()[: min(settings.most, len(vacant))]]
        plans.append(Overwrite(i, vacant[: len(taken)], donor, taken))
    return plans
