"""An ensemble of tied TopK SAEs: its weights, encoder and decoder.

Notation: B batch, d input size, h latents, k active latents; x (B, d), W (h, d), b (h). For one SAE

    v, l = TopK_k(x Wᵀ + b)                  values and indices, (B, k)
    a    = v / ‖W_l‖                         coefficients of the unit-length features
    x̂    = Σ_j a_j W_{l_j}                   = z Ŵ: encoder and decoder share W, the decoder's rows have unit length
    loss = mean over elements of (x̂ − x)²

(paper, section 2.1); `mfr.saes.step` has its gradient.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch.nn.functional import embedding_bag

from mfr.compute.seeds import torch_stream

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


Statistic = Literal["absolute", "cubed"]


def unevenness(share: torch.Tensor, k: int, statistic: Statistic) -> float:
    """How far the latents' activity (h) is from k/h: the mean of |f − k/h| / (k/h) (paper, figure 6), or of its cube.

    A latent that is never active adds 1/h to either; one that is always active (h/k − 1)/h or (h/k − 1)³/h.
    """
    expected = k / len(share)
    deviation = (share - expected).abs() / expected
    return (deviation**3 if statistic == "cubed" else deviation).mean().item()
