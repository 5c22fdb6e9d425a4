"""An ensemble of tied TopK SAEs: its weights, encoder and decoder.

Notation: B batch, d input size, h latents, k active latents; x (B, d), W (h, d), b (h). For one SAE

    v, l = TopK_k(x Wᵀ + b)                  values and indices, (B, k)
    a    = v / ‖W_l‖                         coefficients of the unit-length features
    x̂    = Σ_j a_j W_{l_j}                   = z Ŵ: encoder and decoder share W, the decoder's rows have unit length
    loss = mean over elements of (x̂ − x)²

(paper, section 2.1). `mfr.saes.step` derives the gradient.
"""

from dataclasses import dataclass, replace

import torch
from pydantic import Field
from torch.nn.functional import embedding_bag

from mfr.compute.seeds import torch_stream
from mfr.config.training import Activation, Method, Precision, Statistic, Train
from mfr.runtime.records import Record


class Card(Record):
    """What an ensemble is: the vectors that it was trained on (source and size d), how, and from which seed.

    `train` includes the method's own settings. `scale` is that of scaled inputs, else 1. `reinits` counts each SAE's restarts.
    The hashes are of how the vectors were made, as `Vectors.recipe` gives it, and of the files of weights and learning curves.
    """

    source: str
    size: int
    seed: int
    train: Train
    method: Method
    scale: float = 1.0
    reinits: list[int] = Field(default_factory=list)
    recipe_sha256: str = ""
    saes_sha256: str = ""
    curves_sha256: str = ""


@dataclass
class Ensemble:
    """n SAEs of one size: weights W (n, h, d), biases b (n, h) and k active latents each.

    All SAEs have the same activation, and `offset` (d) is added to every reconstruction. `card` describes a trained ensemble.
    """

    W: torch.Tensor
    b: torch.Tensor
    k: list[int]
    activation: Activation
    offset: torch.Tensor
    card: Card | None = None

    @classmethod
    def random(cls, k: list[int], hidden: int, size: int, activation: Activation, seed: int) -> "Ensemble":
        """SAEs with random features of unit length, zero biases and zero offset."""
        W = torch.stack([random_features(hidden, size, seed, sae, 0) for sae in range(len(k))])
        return cls(W, torch.zeros(len(k), hidden), k, activation, torch.zeros(size))

    def to(self, device: torch.device) -> "Ensemble":
        """The ensemble with its tensors on `device`."""
        return replace(self, W=self.W.to(device), b=self.b.to(device), offset=self.offset.to(device))

    def encode(self, sae: int, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Values and indices (B, k) of one SAE's active latents on x (B, d)."""
        return encode(x, self.W[sae], self.b[sae], self.k[sae], self.activation)

    def decode(self, sae: int, values: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
        """x̂ (B, d) of one SAE from the values and indices (B, k) of active latents."""
        return decode(values, indices, self.W[sae]) + self.offset

    def reconstruct(self, sae: int, x: torch.Tensor) -> torch.Tensor:
        """One SAE's reconstruction x̂ (B, d) of x (B, d)."""
        return self.decode(sae, *self.encode(sae, x))


def random_features(hidden: int, size: int, seed: int, sae: int, reinit: int) -> torch.Tensor:
    """Random directions (h, d) of unit length; `reinit` counts the SAE's restarts so far."""
    rows = torch.randn(hidden, size, generator=torch_stream("weights", seed, sae, reinit))
    norm: torch.Tensor = rows.norm(dim=1, keepdim=True)
    return rows / norm


def preactivations(
    x: torch.Tensor, W: torch.Tensor, b: torch.Tensor, precision: Precision = "float32", out: torch.Tensor | None = None
) -> torch.Tensor:
    """Pre-activations x Wᵀ + b (B, h) in float32, written to `out` if given.

    `bfloat16` rounds factors, bias and sum. `tf32` is switched on by `mfr.compute.devices.allow_tf32`.
    """
    if precision != "bfloat16":
        return torch.addmm(b, x, W.T, out=out)
    product = torch.addmm(b.bfloat16(), x.bfloat16(), W.bfloat16().T)
    return product.float() if out is None else out.copy_(product)


def encode(
    x: torch.Tensor, W: torch.Tensor, b: torch.Tensor, k: int, activation: Activation
) -> tuple[torch.Tensor, torch.Tensor]:
    """Values and indices (B, k) of the k largest pre-activations x Wᵀ + b.

    `topk_relu` sets negative values to zero. `torch.topk` chooses among equal values; the paper would keep all of them.
    """
    return top(preactivations(x, W, b), k, activation)


def top(pre: torch.Tensor, k: int, activation: Activation) -> tuple[torch.Tensor, torch.Tensor]:
    """Values and indices (B, k) that `encode` returns, from pre-activations (B, h)."""
    values, indices = pre.topk(k, dim=1, sorted=False)
    return (values.relu() if activation == "topk_relu" else values), indices


def decode(values: torch.Tensor, indices: torch.Tensor, W: torch.Tensor) -> torch.Tensor:
    """x̂ (B, d) without offset: the active features at unit length, weighted by their values."""
    return embedding_bag(indices, W, per_sample_weights=values / W.norm(dim=1)[indices], mode="sum")


def unevenness(share: torch.Tensor, k: int, statistic: Statistic) -> float:
    """Mean over latents of |f − k/h| / (k/h), or of its cube, for firing frequencies f (h).

    `share` is f. The paper uses the absolute deviation (figure 6). A dead latent adds 1/h to either statistic. A latent that is
    always active adds (h/k − 1)/h to `absolute` and (h/k − 1)³/h to `cubed`.
    """
    expected = k / len(share)
    deviation = (share - expected).abs() / expected
    return (deviation**3 if statistic == "cubed" else deviation).mean().item()
