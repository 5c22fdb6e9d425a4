"""An ensemble of tied TopK SAEs: forward, and the exact gradient without a dense latent matrix.

Notation: B batch, d input size, h latents, k active latents; x (B, d), W (h, d), b (h). For one SAE

    v, l = TopK_k(x Wᵀ + b)                  values and indices, (B, k)
    a    = v / ‖W_l‖                         coefficients of the unit-length features
    x̂    = Σ_j a_j W_{l_j}                   = z Ŵ: encoder and decoder share W, the decoder's rows have unit length
    loss = mean over elements of (x̂ − x)²

With g = ∂loss/∂x̂ = 2 (x̂ − x) / (B d) and p = ⟨g, W_l⟩ (B, k), the chain rule gives

    ∂loss/∂v = p / ‖W_l‖
    ∂loss/∂W = Σ_{active} a g + (∂loss/∂v) x − (p a / ‖W‖²) W
    ∂loss/∂b = Σ_{active} ∂loss/∂v

(paper, section 2.1). Only the k active latents of a row take part: a sum over the (latent, row) pairs, sorted by latent.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch.nn.functional import embedding_bag

from mfr.seeds import torch_stream

Activation = Literal["topk", "topk_relu"]
GATHER_ELEMENTS = 1 << 22


@dataclass
class Ensemble:
    """Weights of n SAEs side by side: W (n, h, d), b (n, h), and each one's number of active latents."""

    W: torch.Tensor
    b: torch.Tensor
    k: list[int]
    activation: Activation

    @classmethod
    def random(cls, k: list[int], hidden: int, size: int, activation: Activation, seed: int) -> "Ensemble":
        """SAEs with features of random directions and unit length, and no bias."""
        W = torch.stack([random_features(hidden, size, seed, sae, 0) for sae in range(len(k))])
        return cls(W, torch.zeros(len(k), hidden), k, activation)

    def to(self, device: torch.device) -> "Ensemble":
        """The same ensemble on another device."""
        return Ensemble(self.W.to(device), self.b.to(device), self.k, self.activation)

    def encode(self, sae: int, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Values and indices (B, k) of the active latents of one SAE."""
        return encode(x, self.W[sae], self.b[sae], self.k[sae], self.activation)

    def reconstruct(self, sae: int, x: torch.Tensor) -> torch.Tensor:
        """x̂ (B, d) of one SAE."""
        return decode(*self.encode(sae, x), self.W[sae])


def random_features(hidden: int, size: int, seed: int, sae: int, reinit: int) -> torch.Tensor:
    """(h, d) random directions of unit length; `reinit` counts how often this SAE has started anew."""
    rows = torch.randn(hidden, size, generator=torch_stream("weights", seed, sae, reinit))
    return rows / rows.norm(dim=1, keepdim=True)


def encode(
    x: torch.Tensor, W: torch.Tensor, b: torch.Tensor, k: int, activation: Activation
) -> tuple[torch.Tensor, torch.Tensor]:
    """Values and indices (B, k) of the k largest of x Wᵀ + b; `topk_relu` sets negative values to zero.

    Among equal values `torch.topk` chooses; the paper would keep them all.
    """
    values, indices = torch.addmm(b, x, W.T).topk(k, dim=1, sorted=False)
    return (values.relu() if activation == "topk_relu" else values), indices


def decode(values: torch.Tensor, indices: torch.Tensor, W: torch.Tensor) -> torch.Tensor:
    """x̂ (B, d): the active features at unit length, weighted by their values."""
    return embedding_bag(indices, W, per_sample_weights=values / W.norm(dim=1)[indices], mode="sum")


@dataclass
class Gradients:
    """One SAE's loss on a batch, its gradient, and the latents that were active."""

    loss: torch.Tensor
    W: torch.Tensor
    b: torch.Tensor
    indices: torch.Tensor


def loss_and_gradients(x: torch.Tensor, W: torch.Tensor, b: torch.Tensor, k: int, activation: Activation) -> Gradients:
    """Mean squared error per element of one SAE on x, with its gradient (see the module's formulas)."""
    norm = W.norm(dim=1)
    values, indices = encode(x, W, b, k, activation)
    active_norm = norm[indices]
    a = values / active_norm
    residual = embedding_bag(indices, W, per_sample_weights=a, mode="sum") - x
    g = residual * (2 / residual.numel())
    p = active_dots(g, W, indices)
    d_values = p / active_norm
    if activation == "topk_relu":
        d_values = torch.where(values > 0, d_values, 0.0)

    order = indices.flatten().argsort()
    counts = torch.bincount(indices.flatten(), minlength=len(W))
    starts = counts.cumsum(0) - counts
    rows = order // k

    def sum_by_latent(coefficients: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        return embedding_bag(rows, vectors, starts, per_sample_weights=coefficients.flatten()[order], mode="sum")

    per_latent = torch.zeros(2, len(W), device=x.device, dtype=x.dtype)
    per_latent[0].index_add_(0, indices.flatten(), d_values.flatten())
    per_latent[1].index_add_(0, indices.flatten(), (p * a).flatten())
    d_W = sum_by_latent(a, g) + sum_by_latent(d_values, x)
    d_W -= (per_latent[1] / norm.square())[:, None] * W
    return Gradients(residual.square().mean(), d_W, per_latent[0], indices)


def active_dots(g: torch.Tensor, W: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    """⟨g_r, W_l⟩ (B, k) of each row with its active latents."""
    if not (g.is_cuda or torch.backends.mkl.is_available()):
        return gathered_dots(g, W, indices)
    rows, k = indices.shape
    starts = torch.arange(0, rows * k + 1, k, device=g.device)
    zeros = torch.zeros(rows * k, device=g.device, dtype=g.dtype)
    pairs = torch.sparse_csr_tensor(starts, indices.flatten(), zeros, size=(rows, len(W)), check_invariants=False)
    return torch.sparse.sampled_addmm(pairs, g, W.T, beta=0.0).values().view(rows, k)


def gathered_dots(g: torch.Tensor, W: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    """`active_dots` where torch has no sampled product (a CPU without MKL), by blocks that bound the memory."""
    block = max(1, GATHER_ELEMENTS // (indices.shape[1] * W.shape[1]))
    pairs = zip(g.split(block), indices.split(block), strict=True)
    return torch.cat([torch.bmm(W[latents], rows[:, :, None]).squeeze(2) for rows, latents in pairs])
