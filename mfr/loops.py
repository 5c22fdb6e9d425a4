"""A sum of rows, compiled: what the SAE's decoder, its penalty and the synthetic vectors have in common."""

import numpy as np
from numba import njit

# Sums may be reordered to be vectorised; NaN and infinity keep their meaning.
REORDER = {"reassoc", "contract", "arcp", "nsz"}


@njit(cache=True, fastmath=REORDER, nogil=True)
def add_rows(out: np.ndarray, W: np.ndarray, rows: np.ndarray, weights: np.ndarray) -> None:
    """out (d) += Σ_j weights_j W_{rows_j}, four rows at a time."""
    j = 0
    while j + 4 <= len(rows):
        w0, w1, w2, w3 = weights[j], weights[j + 1], weights[j + 2], weights[j + 3]
        r0, r1, r2, r3 = rows[j], rows[j + 1], rows[j + 2], rows[j + 3]
        for i in range(len(out)):
            out[i] += w0 * W[r0, i] + w1 * W[r1, i] + w2 * W[r2, i] + w3 * W[r3, i]
        j += 4
    while j < len(rows):
        w0, r0 = weights[j], rows[j]
        for i in range(len(out)):
            out[i] += w0 * W[r0, i]
        j += 1
