"""Vectors as a trainer may see them, centred and of unit mean square; and what it learned, for the vectors as they are.

With x' = (x − μ) / s, SAEs on x' are SAEs on x: TopK keeps the same latents of pre-activations times s > 0, so

    s (x' Wᵀ + b) = x Wᵀ + (s b − W μ)
    s x̂' + μ      = z Ŵ + μ                  with z = s z'

W stays, the bias becomes s b − W μ, and μ is an offset of the reconstruction.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch

from mfr.compute.seeds import torch_stream
from mfr.runtime.errors import UserError
from mfr.saes.ensemble import Ensemble
from mfr.vectors.reader import Vectors

ROWS_AT_ONCE = 1000
DRAWN_BATCHES = 100


@dataclass(frozen=True)
class Scaling:
    """x' = (x − mean) / scale: mean (d) on the CPU."""

    mean: torch.Tensor
    scale: float

    def apply_(self, x: torch.Tensor) -> torch.Tensor:
        """x' in place of x (B, d)."""
        return x.sub_(self.mean).div_(self.scale)

    def folded(self, saes: Ensemble) -> Ensemble:
        """SAEs on x that do what `saes` do on x'."""
        mean = self.mean.to(saes.W)
        return Ensemble(saes.W, self.scale * saes.b - saes.W @ mean, saes.k, saes.activation, mean)


def raw(size: int) -> Scaling:
    """The scaling that leaves vectors of this size as they are."""
    return Scaling(torch.zeros(size), 1.0)


def measured(vectors: Vectors, seed: int) -> Scaling:
    """The scaling with which all rows of `vectors` have mean zero and elements of unit mean square.

    Of rows that are drawn as they are used, the first 100,000 that `seed` draws stand for all. Raises `UserError` where the
    rows do not vary.
    """
    rows, total, squares = 0, np.zeros(vectors.size), 0.0
    # Sums of numpy's, unlike torch's, are the same whatever the number of threads.
    for x in _rows(vectors, seed):
        rows += len(x)
        total += x.sum(axis=0, dtype=np.float64)
        squares += float(np.square(x, dtype=np.float64).sum())
    mean, square = total / rows, squares / (rows * vectors.size)
    variance = square - float(np.square(mean).mean())
    if variance <= 1e-12 * square:
        raise UserError(f"{vectors.path}: its {rows} rows do not vary: train.inputs = scaled needs different vectors")
    return Scaling(torch.from_numpy(mean.astype(np.float32)), variance**0.5)


def _rows(vectors: Vectors, seed: int) -> Iterator[np.ndarray]:
    batches = islice(vectors.batches(ROWS_AT_ONCE, seed), DRAWN_BATCHES) if vectors.drawn else vectors.sequential(ROWS_AT_ONCE)
    return (x.numpy() for x in batches)


def with_white_noise(x: torch.Tensor, snr_db: float | None, seed: int, step: int) -> torch.Tensor:
    """x (B, d) plus Gaussian noise at this signal-to-noise ratio in each row; x itself where that is None.

    The noise depends on seed and step alone, so that a run that goes on sees what it would have seen, and all methods the same.
    """
    if snr_db is None:
        return x
    noise = torch.randn(x.shape, generator=torch_stream("training_noise", seed, step)).to(x.device, non_blocking=True)
    return x + noise * (x.square().mean(dim=1, keepdim=True) * 10 ** (-snr_db / 10)).sqrt()
