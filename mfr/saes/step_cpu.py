"""The training step on a CPU, in compiled loops with fewer passes than `mfr.saes.step`.

The forward half runs by rows: select, decode, and take the products ⟨g, W_l⟩. The gradient's sums run by latents.
One thread computes each sum in a fixed order, so the number of threads changes no result.
"""

from collections.abc import Callable
from dataclasses import dataclass

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

# Whether partners pull, features, starts, partners, scales, weights, cosines: the last arguments of `compiled.backward`.
Pull = tuple[bool, *tuple[np.ndarray, ...]]
_FLOATS, _INTS = np.empty(0, np.float32), np.empty(0, np.int64)
NO_PULL: Pull = (False, _FLOATS.reshape(0, 0), _INTS, _INTS, _FLOATS, _FLOATS, _FLOATS)


@dataclass
class Attraction:
    """What pulls the features of n SAEs towards their partners, for `compiled.pull`.

    features (n·h, d) are all SAEs' rows, norm (n, h) their lengths. Feature f has partners[starts[f]:starts[f + 1]], of lengths
    1 / scales. weights(i, step) are those (h) of SAE i. The sum of each feature's cosines is written to cosines (n, h).
    """

    features: torch.Tensor
    norm: torch.Tensor
    starts: torch.Tensor
    partners: torch.Tensor
    scales: torch.Tensor
    weights: Callable[[int, Step], torch.Tensor]
    cosines: torch.Tensor

    def of(self, i: int, step: Step) -> Pull:
        """The last arguments of `compiled.backward` for SAE i after the forward half of its step."""
        h = self.norm.shape[1]
        starts = self.starts[i * h : (i + 1) * h + 1]
        return True, *arrays(self.features, starts, self.partners, self.scales, self.weights(i, step), self.cosines[i])


class Steps:
    """Takes the steps of an ensemble's SAEs in turn.

    Large buffers are kept from step to step: fresh memory would cost page faults.
    """

    def __init__(self, members: list[Member]) -> None:
        self.members = members
        self.g = self.pre = torch.empty(0)

    def __call__(self, x: torch.Tensor, target: torch.Tensor | None = None, attraction: Attraction | None = None) -> list[Step]:
        """Overwrite all d_W and d_b, as `mfr.saes.step.loss_and_gradients` does; g of a step is valid until the next.

        What the attraction adds is part of d_W.
        """
        shape = (len(self.members), *x.shape)
        if self.g.shape != shape:
            self.g = torch.empty(shape)
            self.pre = torch.empty(min(len(x), ENCODED_ROWS), len(self.members[0].b))
        return [self._step(i, x, x if target is None else target, attraction) for i in range(len(self.members))]

    def _step(self, i: int, x: torch.Tensor, target: torch.Tensor, attraction: Attraction | None) -> Step:
        member, g = self.members[i], self.g[i]
        W, k = member.W, member.k
        norm = W.norm(dim=1) if attraction is None else attraction.norm[i]
        a, d_values = torch.empty(len(x), k), torch.empty(len(x), k)
        indices, losses = torch.empty(len(x), k, dtype=torch.int32), torch.empty(len(x))
        for start in range(0, len(x), ENCODED_ROWS):
            block = slice(start, start + ENCODED_ROWS)
            pre = preactivations(x[block], W, member.b, member.precision, out=self.pre[: len(x[block])])
            settings = (member.activation == "topk_relu", 2 / x.numel())
            written = arrays(*(part[block] for part in (g, a, d_values, indices, losses)))
            side_by_side(compiled.forward, even_bounds(len(pre)), *arrays(pre, target[block], W, norm), *settings, *written)

        starts, pairs = _by_latent(indices.numpy(), *W.shape)
        step = Step(losses.sum() / x.numel(), torch.from_numpy(np.diff(starts[:, 0])), g)
        pull = attraction.of(i, step) if attraction else NO_PULL
        work = starts[:, 0] + 4 * np.arange(len(W) + 1)
        shares = np.searchsorted(work, even_bounds(work[-1])).tolist()
        given = arrays(x, g, W, norm, a.flatten(), d_values.flatten())
        side_by_side(compiled.backward, shares, *given, k, starts, pairs, *arrays(member.d_W, member.d_b), *pull)
        return step


def loss_and_gradients(member: Member, x: torch.Tensor, target: torch.Tensor | None = None) -> Step:
    """CPU version of `mfr.saes.step.loss_and_gradients`."""
    return Steps([member])(x, target)[0]


def _by_latent(indices: np.ndarray, hidden: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Starts (h + 1, blocks + 1) and pairs (B·k) that `compiled.place_by_latent` describes, from indices (B, k)."""
    rows, k = indices.shape
    most_blocks = max(1, rows * k // (BLOCK_PAIRS * hidden))
    block_rows = -(-rows // min(most_blocks, -(-8 * rows * size // BLOCK_BYTES)))
    blocks = -(-rows // block_rows)
    counts, pairs = np.empty((hidden, blocks), np.int32), np.empty(rows * k, np.int32)
    side_by_side(compiled.count_by_latent, even_bounds(blocks), indices, block_rows, counts)
    before = np.concatenate([[0], counts.cumsum(dtype=np.int32)])
    places = np.arange(hidden + 1)[:, None] * blocks + np.arange(blocks + 1)
    starts = before[np.minimum(places, hidden * blocks)].astype(np.int32)
    side_by_side(compiled.place_by_latent, even_bounds(blocks), indices, block_rows, starts, pairs)
    return starts, pairs
