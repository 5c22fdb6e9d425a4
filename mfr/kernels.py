"""The step for a CPU, by compiled loops: what `mfr.sae.loss_and_gradients` and `mfr.mutual.pull` do, in fewer passes.

The forward half goes by rows (select, decode, products with the active features), the sums of the gradient by latents.
Each sum is the work of one thread, in a fixed order: the number of threads changes no result.
"""

import numpy as np
import torch

from mfr import compiled
from mfr.loops import even_bounds, side_by_side
from mfr.mutual import Links
from mfr.sae import Activation, Precision, Step, preactivations

ENCODED_ROWS = 2560
# Blocks of rows of x and g stay in a core's cache, if a latent has that many pairs in each.
BLOCK_BYTES = 1 << 19
BLOCK_PAIRS = 16


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
    """`mfr.sae.loss_and_gradients` for tensors on the CPU."""
    rows, hidden = len(x), len(W)
    norm, g = W.norm(dim=1), torch.empty_like(x)
    a, d_values = torch.empty(rows, k), torch.empty(rows, k)
    indices = torch.empty(rows, k, dtype=torch.int32)
    losses = torch.empty(rows)
    target = x if target is None else target
    buffer = torch.empty(min(rows, ENCODED_ROWS), hidden)
    for start in range(0, rows, ENCODED_ROWS):
        block = slice(start, start + ENCODED_ROWS)
        pre = preactivations(x[block], W, b, precision, out=buffer[: len(x[block])])
        settings = (activation == "topk_relu", 2 / x.numel())
        written = _arrays(*(part[block] for part in (g, a, d_values, indices, losses)))
        side_by_side(compiled.forward, even_bounds(len(pre)), *_arrays(pre, target[block], W, norm), *settings, *written)

    most_blocks = max(1, rows * k // (BLOCK_PAIRS * hidden))
    block_rows = -(-rows // min(most_blocks, -(-2 * x.nbytes // BLOCK_BYTES)))
    starts, pairs = compiled.by_latent(indices.numpy(), hidden, block_rows)
    work = starts[:, 0] + 4 * np.arange(hidden + 1)
    shares = np.searchsorted(work, even_bounds(work[-1])).tolist()
    given = _arrays(x, g, W, norm, a.flatten(), d_values.flatten())
    side_by_side(compiled.backward, shares, *given, k, starts, pairs, *_arrays(d_W, d_b))
    return Step(losses.sum() / x.numel(), torch.from_numpy(np.diff(starts[:, 0])), g)


def pull(W: torch.Tensor, links: Links, weights: torch.Tensor, d_W: torch.Tensor) -> torch.Tensor:
    """`mfr.mutual.pull` for tensors on the CPU."""
    features, norm = W.view(-1, W.shape[2]), W.norm(dim=2).flatten()
    cosines = torch.empty(len(features))
    given = _arrays(features, norm, links.starts, links.partners, weights.flatten() * links.share)
    side_by_side(compiled.pull, even_bounds(len(features)), *given, *_arrays(d_W.view_as(features), cosines))
    return (len(links.partners) - cosines.sum()) * (links.share / 2)


def _arrays(*tensors: torch.Tensor) -> list[np.ndarray]:
    return [tensor.detach().numpy() for tensor in tensors]
