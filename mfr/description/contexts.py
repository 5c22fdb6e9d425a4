"""Columns of the table of latents that explain rows and features."""

from importlib import import_module
from typing import Protocol, cast

import numpy as np
import torch

from mfr.config.source import SourceSection
from mfr.sources.source import source
from mfr.vectors.reader import Vectors


class Contexts:
    """Base class: explains nothing, which suits vectors without metadata."""

    def of_rows(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Where held-out rows come from: columns by name, one value for each row number."""
        return {}

    def of_features(self, W: torch.Tensor, most: int) -> dict[str, object]:
        """What each feature of W (h, d) does: columns by name, of length h.

        Lists have at most `most` items per feature.
        """
        return {}


class Explaining(Protocol):
    """Interface of the module that a source names in `explained_by`."""

    @staticmethod
    def contexts(section: SourceSection, heldout: Vectors, device: torch.device) -> Contexts:
        """The contexts of a file of held-out vectors, given the source's parameters."""


def contexts_of(section: SourceSection, heldout: Vectors, device: torch.device) -> Contexts:
    """The contexts of these vectors, from the module that their source names.

    Contexts without columns if it names none.
    """
    name = source(heldout.source).explained_by
    return cast(Explaining, import_module(name)).contexts(section, heldout, device) if name else Contexts()
