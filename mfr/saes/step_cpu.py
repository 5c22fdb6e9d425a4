"""The step for a CPU, by compiled loops: what `mfr.saes.step.loss_and_gradients` does, in fewer passes.

The forward half goes by rows (select, decode, products with the active features), the sums of the gradient by latents.
Each sum is the work of one thread, in a fixed order: the number of threads changes no result.
"""

import numpy as np
import torch

from mfr.compute import compiled
from mfr.compute.threads import arrays, even_bounds, side_by_side
from mfr.saes.ensemble import preactivations
from mfr.saes.step import Member, Step

ENCODED_ROWS = 2560
# Blocks of rows of x and g stay in a core's cache, if a latent has that many pairs in each.
BLOCK_BYTES = 1 << 19
BLOCK_PAIRS = 16


def loss_and_gradients(member: Member, x: torch.Tensor, target: torch.Tensor | None = None) -> Step:
    """`mfr.saes.step.loss_and_gradients` for tensors on the CPU."""
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
