"""Similarity of two dictionaries, and which of their features belong together.

A dictionary has one row per feature: A (h, d) and B (m, d). The similarity of two features is their cosine.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch.nn.functional import normalize

from mfr.config.training import Matching
from mfr.saes.assignment import CANDIDATES, solve
from mfr.saes.nearest import nearest


@dataclass(frozen=True)
class Similarity:
    """Cosines of A's features with B's: each feature's largest, and those of one-to-one partners.

    largest (h) is of A's features, largest_of_other (m) of B's. Features `rows` of A are the partners of features `columns` of
    B, with these `cosines`: min(h, m) elements each, with the largest total.
    """

    largest: torch.Tensor
    largest_of_other: torch.Tensor
    rows: torch.Tensor
    columns: torch.Tensor
    cosines: torch.Tensor

    @property
    def mmcs_max(self) -> float:
        """MMCS by the paper's formula (section 3.3): mean over A's features of the largest cosine."""
        return self.largest.mean().item()

    @property
    def mcc_hungarian(self) -> float:
        """Mean cosine of one-to-one partners."""
        return self.cosines.mean().item()

    def recovered(self, above: float) -> float:
        """Share of B's features, if they are the true ones, that have a cosine above `above` with a feature of A."""
        return (self.largest_of_other > above).float().mean().item()

    @property
    def reversed(self) -> "Similarity":
        """The similarity of B and A."""
        return Similarity(self.largest_of_other, self.largest, self.columns, self.rows, self.cosines)


def similarities(pairs: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> list[Similarity]:
    """The similarity of each pair of dictionaries A (h, d) and B (m, d), whose rows have unit length."""
    given = list(pairs)
    # One-to-one partners are those of the smaller dictionary's features.
    ordered = [(B, A) if len(A) > len(B) else (A, B) for A, B in given]
    near = [nearest(A, B, CANDIDATES) for A, B in ordered]
    found = []
    for (A, B), own, solved in zip(ordered, near, solve(ordered, near=near), strict=True):
        rows, cosines = torch.arange(len(A), device=A.device), torch.linalg.vecdot(A, B[solved.partners])
        found.append(Similarity(own.row_values[:, 0], own.column_values[:, 0], rows, solved.partners, cosines))
    return [own.reversed if len(A) > len(B) else own for own, (A, B) in zip(found, given, strict=True)]


def largest_cosines(A: torch.Tensor, B: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Each feature of A's largest cosine with a feature of B, and that feature: values and indices (h)."""
    near = nearest(normalize(A, dim=1), normalize(B, dim=1), 1)
    return near.row_values[:, 0], near.columns[:, 0]


def matched(A: torch.Tensor, B: torch.Tensor, matching: Matching) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows and columns of matched features of A and B (h, d), which have unit length.

    `hungarian` pairs features one to one. `max` takes each row's most similar column (paper, section 3.3), and `max_symmetric`
    also each column's most similar row. `mutual` takes only pairs that are each other's most similar.
    """
    every = torch.arange(len(A), device=A.device)
    if matching == "hungarian":
        return every, solve([(A, B)])[0].partners
    near = nearest(A, B, 1)
    columns, rows = near.columns[:, 0], near.rows[:, 0]
    if matching == "max":
        return every, columns
    if matching == "max_symmetric":
        return torch.cat([every, rows]), torch.cat([columns, every])
    mutual = rows[columns] == every
    return every[mutual], columns[mutual]
