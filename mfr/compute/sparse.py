"""Products with sparse matrices: single entries of a product, and sums of a few rows."""

import numpy as np
import torch

from mfr.compute import compiled
from mfr.compute.threads import aligned, even_bounds, side_by_side

GATHERED_ELEMENTS = 1 << 22


def products(A: torch.Tensor, B: torch.Tensor, starts: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Entries ⟨A_i, B_j⟩ (E) of A Bᵀ, for each row i and its columns j.

    The columns of row i are columns[starts[i]:starts[i + 1]], each at most once. Shapes: A (m, d), B (h, d), starts (m + 1),
    columns (E).
    """
    if not (A.is_cuda or torch.backends.mkl.is_available()):  # type: ignore[no-untyped-call]
        return gathered_products(A, B, starts, columns)
    zeros = torch.zeros(len(columns), device=A.device, dtype=A.dtype)
    entries = torch.sparse_csr_tensor(starts, columns, zeros, size=(len(A), len(B)), check_invariants=False)
    sampled: torch.Tensor = torch.sparse.sampled_addmm(entries, A, B.T, beta=0.0).values()
    return sampled


def gathered_products(A: torch.Tensor, B: torch.Tensor, starts: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """`products` for a CPU without MKL, in blocks that limit the memory used."""
    rows = torch.repeat_interleave(torch.arange(len(A)), starts.diff())
    block = max(1, GATHERED_ELEMENTS // A.shape[1])
    return torch.cat(
        [(A[i] * B[j]).sum(dim=1) for i, j in zip(torch.split(rows, block), torch.split(columns, block), strict=True)]
    )


def combine(features: np.ndarray, active: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """Vectors (N, d) from their sparse codes.

    Vector n is Σ_j coefficients[n, j] · features[active[n, j]]; features (G, d), active and coefficients (N, a).
    """
    rows = aligned(len(active), features.shape[1])
    side_by_side(compiled.combine, even_bounds(len(rows)), features, active, coefficients, rows)
    return rows
