"""An independent SAE: dense latents, torch's autograd. Nothing here comes from `mfr`."""

import torch


def dense_reconstruction(x: torch.Tensor, W: torch.Tensor, b: torch.Tensor, k: int, relu: bool) -> torch.Tensor:
    """x̂ through a dense latent matrix."""
    pre = x @ W.T + b
    mask = torch.zeros_like(pre).scatter(1, pre.topk(k, dim=1).indices, 1.0)
    z = pre * mask
    if relu:
        z = torch.relu(z)
    return z @ (W / W.norm(dim=1, keepdim=True))


def dense_loss(x: torch.Tensor, W: torch.Tensor, b: torch.Tensor, k: int, relu: bool = False) -> torch.Tensor:
    """Mean squared error per element."""
    return ((dense_reconstruction(x, W, b, k, relu) - x) ** 2).mean()


def dense_penalty(W: torch.Tensor, partners: list[torch.Tensor]) -> torch.Tensor:
    """1 − mean cosine of matched rows, over all pairs i < j in order."""
    pairs = [(i, j) for i in range(len(W)) for j in range(i + 1, len(W))]
    cosines = [torch.cosine_similarity(W[i], W[j][partner], dim=1).mean() for (i, j), partner in zip(pairs, partners)]
    return 1 - torch.stack(cosines).mean()
