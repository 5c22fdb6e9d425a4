"""Products with sparse matrices: single entries of a product, and sums of a few rows."""

import numpy as np
import torch

from mfr.compute import compiled
from mfr.compute.threads import aligned, even_bounds, side_by_side

GATHERED_ELEMENTS = 1 << 22


def products(A: torch.Tensor, B: torch.Tensor, starts: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """⟨A_i, B_j⟩ (E) for the columns j = columns[starts[i]] … columns[starts[i + 1] − 1] of each row i.

    A (m, d), B (h, d), starts (m + 1), columns (E); a row names a column at most once.
    """
    if not (A.is_cuda or torch.backends.mkl.is_available()):
        return gathered_products(A, B, starts, columns)
    zeros = torch.zeros(len(columns), device=A.device, dtype=A.dtype)
    entries = torch.sparse_csr_tensor(starts, columns, zeros, size=(len(A), len(B)), check_invariants=False)
    return torch.sparse.sampled_addmm(entries, A, B.T, beta=0.0).values()


def gathered_products(A: torch.Tensor, B: torch.Tensor, starts: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """`products` where torch has none of them (a CPU without MKL), by blocks that bound the memory."""
    rows = torch.repeat_interleave(torch.arange(len(A)), starts.diff())
    block = max(1, GATHERED_ELEMENTS // A.shape[1])
    return torch.cat([(A[i] * B[j]).sum(dim=1) for i, j in zip(rows.split(block), columns.split(block), strict=True)])


def combine(features: np.ndarray, active: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """Vectors (rows, d): for each row the sum of `coefficients` (rows, a) times the `active` (rows, a) of `features` (G, d)."""
    rows = aligned(len(active), features.shape[1])
    side_by_side(compiled.combine, even_bounds(len(rows)), features, active, coefficients, rows)
    return rows
