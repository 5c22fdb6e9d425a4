"""An independent SAE: dense latents, torch's autograd. Nothing here comes from `mfr`."""

from itertools import combinations

import torch
from scipy.optimize import linear_sum_assignment


def dense_reconstruction(x: torch.Tensor, W: torch.Tensor, b: torch.Tensor, k: int, relu: bool) -> torch.Tensor:
    """x̂ through a dense latent matrix."""
    pre = x @ W.T + b
    mask = torch.zeros_like(pre).scatter(1, pre.topk(k, dim=1).indices, 1.0)
    z = pre * mask
    if relu:
        z = torch.relu(z)
    return z @ (W / W.norm(dim=1, keepdim=True))


def dense_loss(
    x: torch.Tensor, W: torch.Tensor, b: torch.Tensor, k: int, relu: bool = False, target: torch.Tensor | None = None
) -> torch.Tensor:
    """Mean squared error per element, of x or of another target."""
    return ((dense_reconstruction(x, W, b, k, relu) - (x if target is None else target)) ** 2).mean()


def dense_auxk(
    x: torch.Tensor,
    error: torch.Tensor,
    W: torch.Tensor,
    b: torch.Tensor,
    k: int,
    weight: float,
    target: torch.Tensor | None = None,
) -> torch.Tensor:
    """AuxK of dead latents W, b: both losses relative to the variance of their targets, times that of x or another target."""
    reconstruction = dense_reconstruction(x, W, b, min(k, len(W)), relu=True)
    relative = ((reconstruction - error) ** 2).mean() / ((error - error.mean(0)) ** 2).mean()
    target = x if target is None else target
    return weight * relative * ((target - target.mean(0)) ** 2).mean()


def dense_penalty(W: torch.Tensor, weights: list[torch.Tensor]) -> torch.Tensor:
    """The weighted sum of 1 − cosine over two SAEs' features, as a mean over all pairs i < j in order."""
    cosines = [torch.cosine_similarity(W[i][:, None], W[j][None], dim=2) for i, j in combinations(range(len(W)), 2)]
    return torch.stack([((1 - cosine) * weight).sum() for cosine, weight in zip(cosines, weights)]).mean()


def dense_weights(W: torch.Tensor, matching: str) -> list[torch.Tensor]:
    """What each of the h × h pairs of features weighs, for all pairs of SAEs i < j in order."""
    cosines = [torch.cosine_similarity(W[i][:, None], W[j][None], dim=2) for i, j in combinations(range(len(W)), 2)]
    return [_weights(cosine, matching) / W.shape[1] for cosine in cosines]


def _weights(cosines: torch.Tensor, matching: str) -> torch.Tensor:
    every = torch.eye(len(cosines))
    if matching == "hungarian":
        return every[linear_sum_assignment(-cosines.numpy())[1]]
    of_rows, of_columns = every[cosines.argmax(dim=1)], every[cosines.argmax(dim=0)].T
    return {"max": of_rows, "max_symmetric": (of_rows + of_columns) / 2, "mutual": of_rows * of_columns}[matching]
