"""Prepare training inputs: scaling, which is folded back into trained SAEs, and white noise.

With x' = (x − μ) / s, SAEs on x' are SAEs on x: TopK keeps the same latents if pre-activations are multiplied by s > 0, so

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
    """x' = (x − mean) / scale, with mean (d) on the CPU."""

    mean: torch.Tensor
    scale: float

    def apply_(self, x: torch.Tensor) -> torch.Tensor:
        """Scale x (B, d) in place, and return it."""
        return x.sub_(self.mean).div_(self.scale)

    def folded(self, saes: Ensemble) -> Ensemble:
        """The SAEs that do to x what `saes` do to x'."""
        mean = self.mean.to(saes.W)
        return Ensemble(saes.W, self.scale * saes.b - saes.W @ mean, saes.k, saes.activation, mean)


def raw(size: int) -> Scaling:
    """The scaling that leaves vectors of this size unchanged."""
    return Scaling(torch.zeros(size), 1.0)


def measured(vectors: Vectors, seed: int) -> Scaling:
    """The scaling that gives `vectors` mean zero and elements of unit mean square.

    Measures all rows, or the first 100,000 that `seed` draws if rows are drawn as they are used. Raises `UserError` if the rows
    do not vary.
    """
    rows, total, squares = 0, np.zeros(vectors.size), 0.0
    # numpy's sums, unlike torch's, do not depend on the number of threads.
    for x in _rows(vectors, seed):
        rows += len(x)
        total += x.sum(axis=0, dtype=np.float64)
        squares += float(np.square(x, dtype=np.float64).sum())
    mean, square = total / rows, squares / (rows * vectors.size)
    variance = square - float(np.square(mean).mean())
    if variance <= 1e-12 * square:
        raise UserError(f"{vectors.path}: its {rows} rows do not vary; train.inputs = scaled needs different vectors")
    return Scaling(torch.from_numpy(mean.astype(np.float32)), variance**0.5)


def _rows(vectors: Vectors, seed: int) -> Iterator[np.ndarray]:
    batches = islice(vectors.batches(ROWS_AT_ONCE, seed), DRAWN_BATCHES) if vectors.drawn else vectors.sequential(ROWS_AT_ONCE)
    return (x.numpy() for x in batches)


def with_white_noise(x: torch.Tensor, snr_db: float | None, seed: int, step: int) -> torch.Tensor:
    """x (B, d) plus Gaussian noise at a signal-to-noise ratio of `snr_db` dB in each row.

    `None` returns x itself. The noise depends only on seed and step: a resumed run and all methods of one seed see the same
    noise.
    """
    if snr_db is None:
        return x
    noise = torch.randn(x.shape, generator=torch_stream("training_noise", seed, step)).to(x.device, non_blocking=True)
    return x + noise * (x.square().mean(dim=1, keepdim=True) * 10 ** (-snr_db / 10)).sqrt()
