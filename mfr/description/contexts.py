"""What rows and features stand for, as a table's columns; a source says which module explains its own."""

from importlib import import_module

import numpy as np
import torch

from mfr.sources.source import source
from mfr.vectors.reader import Vectors


class Contexts:
    """Explains nothing, as is right for vectors that are only numbers."""

    def of_rows(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Where each of some held-out rows comes from: columns of the same length."""
        return {}

    def of_features(self, W: torch.Tensor, most: int) -> dict[str, object]:
        """What each feature of W (h, d) does: columns of length h, of at most `most` items each."""
        return {}


def contexts_of(heldout: Vectors, device: torch.device) -> Contexts:
    """What explains these vectors: `contexts` of the module that their source names."""
    name = source(heldout.source).explained_by
    return import_module(name).contexts(heldout, device) if name else Contexts()
