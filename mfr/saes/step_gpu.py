"""The training step on a GPU: all SAEs of an ensemble at once, in few kernels and without waiting for the device.

The n SAEs are one dictionary of n·h latents, of which a row activates K = Σ k: one product x Wᵀ (B, n·h), one decoder with
B·n outputs and one gradient by latents, whatever n is. Derivation and notation are those of `mfr.saes.step`. Every sum has a
fixed order, so that a run repeats bit for bit on the same GPU.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import embedding_bag

from mfr.config.training import Precision
from mfr.saes.ensemble import Ensemble, preactivations
from mfr.saes.step import Step

# A GPU adds up a bag one pair after the other. Blocks of rows therefore divide bags with more pairs, on average.
PAIRS = 64


@dataclass(frozen=True)
class Layout:
    """What depends only on the number of rows B of a batch.

    A batch has B·K pairs (row, latent), K per row. `bags` (B·n) is the first pair of each row and SAE. `vectors` (B·K, 2) are a
    pair's places in a list of the rows of g (B·n, d) and then of x (B, d). Rows are divided in `blocks`; `block` (B, 1) is
    that of a row, and `bounds` (n·h·blocks + 1) counts the blocks of all latents.
    """

    rows: int
    bags: torch.Tensor
    vectors: torch.Tensor
    blocks: int
    block: torch.Tensor
    bounds: torch.Tensor


class EnsembleStep:
    """Losses and gradients of all SAEs of an ensemble on a batch, on any device.

    A call overwrites d_W (n, h, d) and d_b (n, h). The ensemble's tensors must stay where they are in memory.
    """

    def __init__(self, saes: Ensemble, d_W: torch.Tensor, d_b: torch.Tensor, precision: Precision = "float32") -> None:
        self.saes, self.d_W, self.d_b, self.precision = saes, d_W, d_b, precision
        device = saes.W.device
        # Copying these for each batch would wait for the device.
        self.first_latents = torch.arange(len(saes.k), device=device)[:, None] * saes.b.shape[1]
        self.kept = torch.tensor(_kept(saes.k), device=device)
        self.first_pairs = torch.tensor([sum(saes.k[:i]) for i in range(len(saes.k))], device=device)
        self.sae_of_pair = torch.tensor([i for i, k in enumerate(saes.k) for _ in range(k)], device=device)
        self.layout = self._layout(0)

    def __call__(self, x: torch.Tensor, target: torch.Tensor | None = None) -> list[Step]:
        """One `Step` per SAE on x (B, d); `target` (B, d) is the clean x if x is noisy."""
        n, _, d = self.saes.W.shape
        if self.layout.rows != len(x):
            self.layout = self._layout(len(x))
        W = self.saes.W.view(-1, d)
        norm = W.norm(dim=1)
        values, latents = self._top(x)
        active_norm = norm[latents]
        a = (values / active_norm).requires_grad_()
        with torch.enable_grad():
            x_hat = embedding_bag(latents.flatten(), W, self.layout.bags, per_sample_weights=a.flatten(), mode="sum")
        residual = x_hat.detach().view(-1, n, d) - (x if target is None else target)[:, None]
        g = residual * (2 / x.numel())
        # The gradient of a decoder's coefficients is p = ⟨g, W_l⟩.
        (p,) = torch.autograd.grad(x_hat, a, g.view(-1, d))
        d_values = p / active_norm
        if self.saes.activation == "topk_relu":
            d_values = torch.where(values > 0, d_values, 0.0)
        a = a.detach()
        of_vectors, of_latents = (torch.stack(two, dim=2).view(-1, 2) for two in ([a, d_values], [d_values, p * a]))
        counts = self._sum_by_latent(latents, of_vectors, of_latents, torch.cat([g.view(-1, d), x]), norm)
        losses = residual.square().mean(dim=(0, 2))
        return [Step(losses[i], counts[i], g[:, i]) for i in range(n)]

    def _top(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Values and latents of the active pairs of each row, (B, K); latents are counted through all SAEs."""
        (n, h, d), k = self.saes.W.shape, self.saes.k
        pre = preactivations(x, self.saes.W.view(-1, d), self.saes.b.flatten(), self.precision).view(-1, n, h)
        even = min(k) == max(k)
        # Sorted, so that an SAE's own k come first.
        values, indices = pre.topk(max(k), dim=2, sorted=not even)
        values, latents = values.flatten(1), indices.add_(self.first_latents).flatten(1)
        if not even:
            values, latents = values.index_select(1, self.kept), latents.index_select(1, self.kept)
        return (values.relu() if self.saes.activation == "topk_relu" else values), latents

    def _sum_by_latent(
        self,
        latents: torch.Tensor,
        of_vectors: torch.Tensor,
        of_latents: torch.Tensor,
        vectors: torch.Tensor,
        norm: torch.Tensor,
    ) -> torch.Tensor:
        """Write d_W and d_b; return counts (n, h).

        latents (B, K). `vectors` has the rows of g, then of x; `of_vectors` (B·K, 2) are their weights in a pair's gradient, a
        and ∂loss/∂v. `of_latents` (B·K, 2) are ∂loss/∂v and p a.
        """
        n, h, d = self.saes.W.shape
        at = self.layout
        # Keys of four bytes sort faster.
        keys, order = (latents * at.blocks + at.block).int().flatten().sort(stable=True)
        starts = torch.searchsorted(keys, at.bounds)
        weights, rows = of_vectors[order].flatten(), at.vectors[order].flatten()
        sums = embedding_bag(rows, vectors, 2 * starts[:-1], per_sample_weights=weights, mode="sum")
        scalars = embedding_bag(order, of_latents, starts[:-1], mode="sum")
        if at.blocks > 1:
            sums, scalars = sums.view(n * h, at.blocks, d).sum(dim=1), scalars.view(n * h, at.blocks, 2).sum(dim=1)
        self.d_b.copy_(scalars[:, 0].view(n, h))
        along = scalars[:, 1:] / norm.square()[:, None]
        torch.addcmul(sums, along, self.saes.W.view(-1, d), value=-1, out=self.d_W.view(-1, d))
        return starts[:: at.blocks].diff().view(n, h)

    def _layout(self, rows: int) -> Layout:
        (n, h, _), active, device = self.saes.W.shape, sum(self.saes.k), self.saes.W.device
        row = torch.arange(rows, device=device)[:, None]
        bag = row * n + self.sae_of_pair
        blocks = max(1, rows * active // (PAIRS * n * h))
        return Layout(
            rows=rows,
            bags=(row * active + self.first_pairs).flatten(),
            vectors=torch.stack([bag, (rows * n + row).expand_as(bag)], dim=2).view(-1, 2),
            blocks=blocks,
            block=row // max(1, -(-rows // blocks)),
            bounds=torch.arange(n * h * blocks + 1, device=device, dtype=torch.int32),
        )


def _kept(k: Sequence[int]) -> list[int]:
    """Columns of (n · max k) sorted values that belong to the k largest of each SAE."""
    return [i * max(k) + j for i, own in enumerate(k) for j in range(own)]
