"""Revive dead latents by an auxiliary loss (AuxK), or by features copied from other SAEs."""

from dataclasses import dataclass

import torch
from torch.nn.functional import embedding_bag, normalize

from mfr.config.training import AuxK, Transplant
from mfr.saes.ensemble import encode
from mfr.saes.step import Member, Step


def idle_steps(idle: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Steps since each latent was selected (n, h), from those before a step and how often the step selected it (n, h)."""
    return torch.where(counts > 0, 0, idle + 1)


def add_auxk(settings: AuxK, member: Member, step: Step, idle: torch.Tensor, seen: torch.Tensor, x: torch.Tensor) -> None:
    """Add AuxK's gradient to the gradient of an SAE's dead latents.

    `idle` (h) counts the steps since each latent was selected. `step` is the SAE's result on the batch x (B, d); `seen` is x
    with the noise, if any, that the SAE saw.
    """
    (dead,) = torch.nonzero(idle >= settings.dead_after, as_tuple=True)
    if len(dead):
        error = step.g * (-x.numel() / 2)
        k = member.k if settings.k == "same" else settings.k
        d_W, d_b = auxk_gradients(seen, error, member.W[dead], member.b[dead], k, settings.weight, target=x)
        member.d_W[dead] += d_W
        member.d_b[dead] += d_b


def auxk_gradients(
    x: torch.Tensor,
    error: torch.Tensor,
    W: torch.Tensor,
    b: torch.Tensor,
    k: int,
    weight: float,
    target: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients of AuxK with respect to dead latents W (m, d) and b (m).

        loss = weight · var(x) / var(e) · mean over elements of (ê − e)²

    with e = x − x̂ the `error` (B, d), and ê its reconstruction by the `k` dead latents that are largest on x, without negative
    values (Gao et al., 2024, and openai/sparse_autoencoder). There, both losses are relative to the variance of their targets;
    the factor var(x) fits AuxK to a plain mean squared error. If x is noisy, `target` (B, d) is the clean x in e and var(x).
    Non-finite elements of the gradients become zero.
    """
    W, b = W.clone().requires_grad_(), b.clone().requires_grad_()
    values, indices = encode(x, W, b, min(k, len(W)), "topk_relu")
    # Not `decode`: it looks up norms by index, and their gradient would be summed in no fixed order.
    reconstruction = embedding_bag(indices, normalize(W, dim=1), per_sample_weights=values, mode="sum")
    scale = weight * _variance(x if target is None else target) / _variance(error)
    d_W, d_b = torch.autograd.grad(scale * (reconstruction - error).square().mean(), [W, b])
    return d_W.nan_to_num(0, 0, 0), d_b.nan_to_num(0, 0, 0)


def _variance(rows: torch.Tensor) -> torch.Tensor:
    return (rows - rows.mean(dim=0)).square().mean()


@dataclass(frozen=True)
class Overwrite:
    """Latents of one SAE to overwrite, and the donor's features that replace them, in order."""

    sae: int
    latents: torch.Tensor
    donor: int
    features: torch.Tensor


def transplants(W: torch.Tensor, idle: torch.Tensor, settings: Transplant, turn: int) -> list[Overwrite]:
    """One plan per SAE: the donor's live features least like its own replace its dead latents.

    W is (n, h, d); idle (n, h) counts the steps since each latent was selected. `turn` chooses the donors. A plan overwrites at
    most `settings.most` latents.
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


def overwrite(plan: Overwrite, members: list[Member], optimizer: torch.optim.Optimizer, moments: str) -> None:
    """Copy weights and biases as planned, and Adam's moments: the donor's, or else zeros."""
    taker, donor = members[plan.sae], members[plan.donor]
    for own, given in ((taker.W, donor.W), (taker.b, donor.b)):
        own[plan.latents] = given[plan.features]
        for moment in ("exp_avg", "exp_avg_sq"):
            copied = optimizer.state[given][moment][plan.features]
            optimizer.state[own][moment][plan.latents] = copied if moments == "donor" else 0
