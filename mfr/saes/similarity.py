"""Similarity of two dictionaries, and which of their features belong together.

A dictionary has one row per feature: A (h, d) and B (m, d). The similarity of two features is their cosine.
"""

import torch
from scipy.optimize import linear_sum_assignment
from torch.nn.functional import normalize

from mfr.config.training import Matching


def cosines(A: torch.Tensor, B: torch.Tensor) -> torch.Tensor:
    """Cosines (h, m) of every feature of A with every feature of B."""
    return normalize(A, dim=1) @ normalize(B, dim=1).T


def hungarian(similarity: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows and columns of the one-to-one pairs with the largest total similarity.

    Both have min(h, m) elements, for a similarity of shape (h, m).
    """
    rows, columns = linear_sum_assignment(similarity.cpu().numpy(), maximize=True)
    return torch.from_numpy(rows).to(similarity.device), torch.from_numpy(columns).to(similarity.device)


def matched(similarity: torch.Tensor, matching: Matching) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows and columns of matched features, in a square matrix of similarities (h, h).

    `hungarian` pairs features one to one. `max` takes each row's most similar column (paper, section 3.3), and `max_symmetric`
    also each column's most similar row. `mutual` takes only pairs that are each other's most similar.
    """
    if matching == "hungarian":
        return hungarian(similarity)
    every = torch.arange(len(similarity), device=similarity.device)
    columns, rows = similarity.argmax(dim=1), similarity.argmax(dim=0)
    if matching == "max":
        return every, columns
    if matching == "max_symmetric":
        return torch.cat([every, rows]), torch.cat([columns, every])
    mutual = rows[columns] == every
    return every[mutual], columns[mutual]


def mmcs_max(A: torch.Tensor, B: torch.Tensor) -> float:
    """MMCS by the paper's formula: mean over A's features of the largest cosine with B's."""
    return cosines(A, B).amax(dim=1).mean().item()


def mcc_hungarian(A: torch.Tensor, B: torch.Tensor) -> float:
    """Mean cosine of A's and B's features after one-to-one matching."""
    similarity = cosines(A, B)
    return similarity[hungarian(similarity)].mean().item()


def recovered(A: torch.Tensor, features: torch.Tensor, above: float) -> float:
    """Share of true `features` (G, d) that have a cosine above `above` with a feature of A."""
    return (cosines(features, A).amax(dim=1) > above).float().mean().item()
