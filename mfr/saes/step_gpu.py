"""The training step on a GPU: all SAEs of an ensemble at once, in few kernels and without waiting for the device.

The n SAEs are one dictionary of n·h latents, of which a row activates k per SAE: one product x Wᵀ (B, n·h), one decoder with
B·n outputs and one gradient by latents, each a few kernels whatever n is. Derivation and notation are those of
`mfr.saes.step`. Every sum has a fixed order, so that a run repeats bit for bit on the same GPU.
"""

from collections.abc import Sequence

import torch
from torch.nn.functional import embedding_bag

from mfr.config.training import Precision
from mfr.saes.ensemble import Ensemble, preactivations
from mfr.saes.step import Step

# A GPU adds up a bag one pair after the other. Blocks of rows therefore divide bags with more pairs, on average.
PAIRS = 64


class EnsembleStep:
    """Losses and gradients of all SAEs of an ensemble on a batch, on any device.

    A call overwrites d_W (n, h, d) and d_b (n, h). The ensemble's tensors must stay where they are in memory.
    """

    def __init__(self, saes: Ensemble, d_W: torch.Tensor, d_b: torch.Tensor, precision: Precision = "float32") -> None:
        self.saes, self.d_W, self.d_b, self.precision = saes, d_W, d_b, precision
        n, h = saes.b.shape
        device = saes.W.device
        # Indices are copied to the device once: a copy would wait for it.
        self.first_latents = torch.arange(n, device=device)[:, None] * h
        self.kept = torch.tensor(_kept(saes.k), device=device)
        self.first_pairs = torch.tensor(saes.k, device=device).cumsum(0) - torch.tensor(saes.k, device=device)

    def __call__(self, x: torch.Tensor, target: torch.Tensor | None = None) -> list[Step]:
        """One `Step` per SAE on x (B, d); `target` (B, d) is the clean x if x is noisy."""
        n, _, d = self.saes.W.shape
        W, rows = self.saes.W.view(-1, d), len(x)
        norm = W.norm(dim=1)
        values, latents = self._top(x)
        active_norm = norm[latents]
        a = (values / active_norm).requires_grad_()
        with torch.enable_grad():
            x_hat = embedding_bag(latents.flatten(), W, self._bags(rows), per_sample_weights=a.flatten(), mode="sum")
        residual = x_hat.detach().view(rows, n, d) - (x if target is None else target)[:, None]
        g = residual * (2 / x.numel())
        # The gradient of a decoder's coefficients is p = ⟨g, W_l⟩.
        (p,) = torch.autograd.grad(x_hat, a, g.view(-1, d))
        d_values = p / active_norm
        if self.saes.activation == "topk_relu":
            d_values = torch.where(values > 0, d_values, 0.0)
        counts = self._sum_by_latent(latents, a.detach(), d_values, p, g.view(-1, d), x, norm)
        losses = residual.square().mean(dim=(0, 2))
        return [Step(losses[i], counts[i], g[:, i]) for i in range(n)]

    def _top(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Values and latents, counted over all SAEs, of the K = Σ k active pairs of each row: (B, K)."""
        (n, h, d), k = self.saes.W.shape, self.saes.k
        pre = preactivations(x, self.saes.W.view(-1, d), self.saes.b.flatten(), self.precision).view(-1, n, h)
        even = len(set(k)) == 1
        # Sorted, so that an SAE's own k come first.
        values, indices = pre.topk(max(k), dim=2, sorted=not even)
        latents = indices.add_(self.first_latents).flatten(1)
        values = values.relu() if self.saes.activation == "topk_relu" else values
        if even:
            return values.flatten(1), latents
        return values.flatten(1).index_select(1, self.kept), latents.index_select(1, self.kept)

    def _bags(self, rows: int) -> torch.Tensor:
        """First pair of each SAE in each row, (B·n)."""
        first = torch.arange(rows, device=self.first_pairs.device)[:, None] * sum(self.saes.k)
        return (first + self.first_pairs).flatten()

    def _sum_by_latent(
        self,
        latents: torch.Tensor,
        a: torch.Tensor,
        d_values: torch.Tensor,
        p: torch.Tensor,
        g: torch.Tensor,
        x: torch.Tensor,
        norm: torch.Tensor,
    ) -> torch.Tensor:
        """Write d_W and d_b from pairs (B, K), g (B·n, d), x (B, d) and norm (n·h); return counts (n, h)."""
        (n, h, d), (rows, pairs) = self.saes.W.shape, latents.shape
        blocks = max(1, latents.numel() // (PAIRS * n * h))
        block = torch.arange(rows, device=x.device)[:, None] // -(-rows // blocks)
        # Keys of four bytes sort faster.
        keys, order = (latents * blocks + block).int().flatten().sort(stable=True)
        starts = torch.searchsorted(keys, torch.arange(n * h * blocks + 1, device=x.device, dtype=keys.dtype))
        row = order // pairs
        vectors = torch.stack([row * n + keys // (blocks * h), len(g) + row], dim=1)
        weights = torch.stack([a, d_values], dim=2).view(-1, 2)[order]
        sums = embedding_bag(
            vectors.flatten(), torch.cat([g, x]), 2 * starts[:-1], per_sample_weights=weights.flatten(), mode="sum"
        )
        scalars = embedding_bag(order, torch.stack([d_values, p * a], dim=2).view(-1, 2), starts[:-1], mode="sum")
        if blocks > 1:
            sums, scalars = sums.view(n * h, blocks, d).sum(dim=1), scalars.view(n * h, blocks, 2).sum(dim=1)
        self.d_b.copy_(scalars[:, 0].view(n, h))
        along = scalars[:, 1:] / norm.square()[:, None]
        torch.addcmul(sums, along, self.saes.W.view(-1, d), value=-1, out=self.d_W.view(-1, d))
        return starts[::blocks].diff().view(n, h)


def _kept(k: Sequence[int]) -> list[int]:
    """Columns of (n · max k) sorted values that belong to the k largest of each SAE."""
    return [i * max(k) + j for i, own in enumerate(k) for j in range(own)]
