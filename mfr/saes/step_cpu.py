"""The training step on a CPU, in compiled loops with fewer passes than `mfr.saes.step`.

The forward half runs by rows: select, decode, and take the products ⟨g, W_l⟩. The gradient's sums run by latents.
One thread computes each sum in a fixed order, so the number of threads changes no result.
"""

import numpy as np
import torch

from mfr.compute import compiled
from mfr.compute.threads import arrays, even_bounds, side_by_side
from mfr.saes.ensemble import preactivations
from mfr.saes.step import Member, Step

# Rows encoded at once: bounds the memory of pre-activations.
ENCODED_ROWS = 2560
# The backward loop reads x and g in blocks that fit a core's cache, if a latent has on average BLOCK_PAIRS pairs per block.
BLOCK_BYTES = 1 << 19
BLOCK_PAIRS = 16


def loss_and_gradients(member: Member, x: torch.Tensor, target: torch.Tensor | None = None) -> Step:
    """CPU version of `mfr.saes.step.loss_and_gradients`."""
    W, b, k = member.W, member.b, member.k
    rows, hidden = len(x), len(W)
    norm, g = W.norm(dim=1), torch.empty_like(x)
    a, d_values = torch.empty(rows, k), torch.empty(rows, k)
    indices = torch.empty(rows, k, dtype=torch.int32)
    losses = torch.empty(rows)
    target = x if target is None else target
    buffer = torch.empty(min(rows, ENCODED_ROWS), hidden)
    for start in range(0, rows, ENCODED_ROWS):
        block = slice(start, start + ENCODED_ROWS)
        pre = preactivations(x[block], W, b, member.precision, out=buffer[: len(x[block])])
        settings = (member.activation == "topk_relu", 2 / x.numel())
        written = arrays(*(part[block] for part in (g, a, d_values, indices, losses)))
        side_by_side(compiled.forward, even_bounds(len(pre)), *arrays(pre, target[block], W, norm), *settings, *written)

    most_blocks = max(1, rows * k // (BLOCK_PAIRS * hidden))
    block_rows = -(-rows // min(most_blocks, -(-2 * x.nbytes // BLOCK_BYTES)))
    starts, pairs = compiled.by_latent(indices.numpy(), hidden, block_rows)
    work = starts[:, 0] + 4 * np.arange(hidden + 1)
    shares = np.searchsorted(work, even_bounds(work[-1])).tolist()
    given = arrays(x, g, W, norm, a.flatten(), d_values.flatten())
    side_by_side(compiled.backward, shares, *given, k, starts, pairs, *arrays(member.d_W, member.d_b))
    return Step(losses.sum() / x.numel(), torch.from_numpy(np.diff(starts[:, 0])), g)
