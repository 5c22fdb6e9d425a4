"""Revive dead latents: by an auxiliary loss from which they learn, or by features copied from other SAEs."""

from dataclasses import dataclass

import torch
from torch.nn.functional import embedding_bag, normalize

from mfr.config.training import AuxK, Transplant
from mfr.saes.ensemble import encode
from mfr.saes.step import Member, Step


def add_auxk(settings: AuxK, member: Member, step: Step, idle: torch.Tensor, seen: torch.Tensor, x: torch.Tensor) -> None:
    """Add AuxK's gradient to that of an SAE's dead latents, of which `idle` (h) counts the steps since they were selected.

    `step` is that of the batch x (B, d), which the SAE has `seen` with noise or without.
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
    """Gradients of AuxK with respect to dead latents W (m, d), b (m) alone; zero where they are not finite.

    The loss is weight · mean squared error of ê · var(x) / var(e), with e = x − x̂ the `error` (B, d), and ê its reconstruction
    by the `k` dead latents that are largest on x, without negative ones (Gao et al., 2024, and openai/sparse_autoencoder).
    There both losses are relative to the variance of their targets; var(x) makes this one fit a plain mean squared error. Of
    noisy x, the `target` (B, d) stands for x in the error and in var(x).
    """
    W, b = W.clone().requires_grad_(), b.clone().requires_grad_()
    values, indices = encode(x, W, b, min(k, len(W)), "topk_relu")
    # Not `decode`: the gradient of the norms that it looks up is a sum in no fixed order.
    reconstruction = embedding_bag(indices, normalize(W, dim=1), per_sample_weights=values, mode="sum")
    scale = weight * _variance(x if target is None else target) / _variance(error)
    d_W, d_b = torch.autograd.grad(scale * (reconstruction - error).square().mean(), [W, b])
    return d_W.nan_to_num(0, 0, 0), d_b.nan_to_num(0, 0, 0)


def _variance(rows: torch.Tensor) -> torch.Tensor:
    return (rows - rows.mean(dim=0)).square().mean()


@dataclass(frozen=True)
class Overwrite:
    """Latents of one SAE, and those of a donor that are put in their place."""

    sae: int
    latents: torch.Tensor
    donor: int
    features: torch.Tensor


def transplants(W: torch.Tensor, idle: torch.Tensor, settings: Transplant, turn: int) -> list[Overwrite]:
    """Each SAE's dead latents, and as many live features of another SAE that are least like its own live ones.

    W (n, h, d), idle (n, h) steps since each latent was selected; `turn` chooses the donor.
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
    """Carry out one plan: weights, biases, and the donor's moments of Adam or zeros."""
    taker, donor = members[plan.sae], members[plan.donor]
    for own, given in ((taker.W, donor.W), (taker.b, donor.b)):
        own[plan.latents] = given[plan.features]
        for moment in ("exp_avg", "exp_avg_sq"):
            copied = optimizer.state[given][moment][plan.features]
            optimizer.state[own][moment][plan.latents] = copied if moments == "donor" else 0
