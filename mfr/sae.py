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

from mfr.sampled import products
from mfr.seeds import torch_stream

Activation = Literal["topk", "topk_relu"]
Precision = Literal["float32", "tf32", "bfloat16"]


@dataclass
class Ensemble:
    """Weights of n SAEs side by side: W (n, h, d), b (n, h), each one's number of active latents, and an offset (d) that all
    their reconstructions have."""

    W: torch.Tensor
    b: torch.Tensor
    k: list[int]
    activation: Activation
    offset: torch.Tensor

    @classmethod
    def random(cls, k: list[int], hidden: int, size: int, activation: Activation, seed: int) -> "Ensemble":
        """SAEs with features of random directions and unit length, and neither bias nor offset."""
        W = torch.stack([random_features(hidden, size, seed, sae, 0) for sae in range(len(k))])
        return cls(W, torch.zeros(len(k), hidden), k, activation, torch.zeros(size))

    def to(self, device: torch.device) -> "Ensemble":
        """The same ensemble on another device."""
        return Ensemble(self.W.to(device), self.b.to(device), self.k, self.activation, self.offset.to(device))

    def encode(self, sae: int, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Values and indices (B, k) of the active latents of one SAE."""
        return encode(x, self.W[sae], self.b[sae], self.k[sae], self.activation)

    def reconstruct(self, sae: int, x: torch.Tensor) -> torch.Tensor:
        """x̂ (B, d) of one SAE."""
        return decode(*self.encode(sae, x), self.W[sae]) + self.offset


def random_features(hidden: int, size: int, seed: int, sae: int, reinit: int) -> torch.Tensor:
    """(h, d) random directions of unit length; `reinit` counts how often this SAE has started anew."""
    rows = torch.randn(hidden, size, generator=torch_stream("weights", seed, sae, reinit))
    return rows / rows.norm(dim=1, keepdim=True)


def preactivations(
    x: torch.Tensor, W: torch.Tensor, b: torch.Tensor, precision: Precision = "float32", out: torch.Tensor | None = None
) -> torch.Tensor:
    """x Wᵀ + b (B, h) in float32, written to `out` where it is given; `bfloat16` rounds factors, bias and sum."""
    if precision != "bfloat16":
        return torch.addmm(b, x, W.T, out=out)
    product = torch.addmm(b.bfloat16(), x.bfloat16(), W.bfloat16().T)
    return product.float() if out is None else out.copy_(product)


def encode(
    x: torch.Tensor, W: torch.Tensor, b: torch.Tensor, k: int, activation: Activation
) -> tuple[torch.Tensor, torch.Tensor]:
    """Values and indices (B, k) of the k largest of x Wᵀ + b; `topk_relu` sets negative values to zero.

    Among equal values `torch.topk` chooses; the paper would keep them all.
    """
    return top(preactivations(x, W, b), k, activation)


def top(pre: torch.Tensor, k: int, activation: Activation) -> tuple[torch.Tensor, torch.Tensor]:
    """`encode` from x Wᵀ + b."""
    values, indices = pre.topk(k, dim=1, sorted=False)
    return (values.relu() if activation == "topk_relu" else values), indices


def decode(values: torch.Tensor, indices: torch.Tensor, W: torch.Tensor) -> torch.Tensor:
    """x̂ (B, d): the active features at unit length, weighted by their values."""
    return embedding_bag(indices, W, per_sample_weights=values / W.norm(dim=1)[indices], mode="sum")


@dataclass
class Step:
    """One SAE's loss on a batch, in how many of its rows each latent (h) was selected, and g = ∂loss/∂x̂ (B, d).

    `topk_relu` may set a selected latent to zero: it counts here, but not in `mfr.metrics`.
    """

    loss: torch.Tensor
    counts: torch.Tensor
    g: torch.Tensor


def loss_and_gradients(
    x: torch.Tensor,
    W: torch.Tensor,
    b: torch.Tensor,
    k: int,
    activation: Activation,
    precision: Precision,
    d_W: torch.Tensor,
    d_b: torch.Tensor,
    target: torch.Tensor | None = None,
) -> Step:
    """Mean squared error per element of one SAE on x; its gradient overwrites d_W (h, d) and d_b (h).

    Where x is noisy, `target` (B, d) stands for x in the loss: its error is x̂ − target.
    See the module's formulas. This runs on any device and waits for none; `mfr.kernels` does the same faster on a CPU.
    """
    norm = W.norm(dim=1)
    values, indices = top(preactivations(x, W, b, precision), k, activation)
    active_norm = norm[indices]
    a = values / active_norm
    residual = embedding_bag(indices, W, per_sample_weights=a, mode="sum") - (x if target is None else target)
    g = residual * (2 / residual.numel())
    p = products(g, W, torch.arange(0, indices.numel() + 1, k, device=x.device), indices.flatten()).view_as(a)
    d_values = p / active_norm
    if activation == "topk_relu":
        d_values = torch.where(values > 0, d_values, 0.0)

    latents, order = indices.flatten().sort()
    starts = torch.searchsorted(latents, torch.arange(len(W) + 1, device=x.device))
    rows = order // k

    def sum_by_latent(coefficients: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        return embedding_bag(rows, vectors, starts[:-1], per_sample_weights=coefficients.flatten()[order], mode="sum")

    ones = torch.ones(1, 1, device=x.device).expand(len(x), 1)
    d_b.copy_(sum_by_latent(d_values, ones).squeeze(1))
    torch.add(sum_by_latent(a, g), sum_by_latent(d_values, x), out=d_W)
    d_W -= sum_by_latent(p * a, ones) / norm.square()[:, None] * W
    return Step(residual.square().mean(), starts.diff(), g)
