"""Which features of two dictionaries belong together.

A dictionary is a matrix with a feature a row: A (h, d) and B (m, d); the similarity of two features is their cosine.
"""

from typing import Literal

import torch
from scipy.optimize import linear_sum_assignment
from torch.nn.functional import normalize

Matching = Literal["hungarian", "max", "max_symmetric", "mutual"]


def cosines(A: torch.Tensor, B: torch.Tensor) -> torch.Tensor:
    """All cosines (h, m) between the features of A and B."""
    return normalize(A, dim=1) @ normalize(B, dim=1).T


def hungarian(similarity: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows and columns (both of the smaller side's length) of the one-to-one pairs of the largest total similarity."""
    rows, columns = linear_sum_assignment(similarity.cpu().numpy(), maximize=True)
    return torch.from_numpy(rows).to(similarity.device), torch.from_numpy(columns).to(similarity.device)


def matched(similarity: torch.Tensor, matching: Matching) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows and columns that belong together in a square matrix of similarities.

    `max` takes each row's most similar column (paper, section 3.3), `max_symmetric` each column's row as well, `mutual` the
    pairs that are each other's most similar, and `hungarian` one-to-one pairs.
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
    """MMCS as the paper's formula has it: the mean over A's features of the largest cosine with a feature of B."""
    return cosines(A, B).amax(dim=1).mean().item()


def mcc_hungarian(A: torch.Tensor, B: torch.Tensor) -> float:
    """Mean cosine of the one-to-one pairs of features of A and B."""
    similarity = cosines(A, B)
    return similarity[hungarian(similarity)].mean().item()


def recovered(A: torch.Tensor, features: torch.Tensor, above: float) -> float:
    """The share of `features` (G, d) with a cosine above a bound to one of A's."""
    return (cosines(features, A).amax(dim=1) > above).float().mean().item()
