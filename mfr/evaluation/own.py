"""What only a source measures of SAEs on its vectors, beside what all sources have in common."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Protocol

import torch

from mfr.config.source import Evaluate
from mfr.sources.source import source
from mfr.vectors.reader import Vectors

# From vectors (rows, d) to an SAE's reconstructions of them.
Reconstruct = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Measures:
    """Values by name: of each SAE, and of the source itself."""

    of_saes: list[dict[str, float]]
    of_source: dict[str, float] = field(default_factory=dict)


class Measuring(Protocol):
    """What a module that a source is `measured_by` provides."""

    @staticmethod
    def measures(
        settings: Evaluate, heldout: Vectors, mean: torch.Tensor, reconstructions: Sequence[Reconstruct], device: torch.device
    ) -> Measures:
        """What to add, of SAEs by their reconstructions of the held-out vectors, whose mean (d) is given."""


def own_measures(
    settings: Evaluate, heldout: Vectors, mean: torch.Tensor, reconstructions: Sequence[Reconstruct], device: torch.device
) -> Measures:
    """What the source of these vectors adds; nothing if it names no module for it."""
    name = source(heldout.source).measured_by
    if name is None:
        return Measures([{} for _ in reconstructions])
    module: Measuring = import_module(name)  # type: ignore[assignment]
    return module.measures(settings, heldout, mean, reconstructions, device)
