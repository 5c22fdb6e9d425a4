"""Measures that only one source makes of SAEs, beyond the metrics of all sources."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Protocol, cast

import torch

from mfr.config.source import SourceSection
from mfr.sources.source import source
from mfr.vectors.reader import Vectors

# Maps vectors (rows, d) to an SAE's reconstructions (rows, d).
Reconstruct = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Measures:
    """Values by name: one dictionary per SAE, and one for the source itself."""

    of_saes: list[dict[str, float]]
    of_source: dict[str, float] = field(default_factory=dict)


class Measuring(Protocol):
    """Interface of the module that a source names in `measured_by`."""

    @staticmethod
    def measures(
        section: SourceSection,
        heldout: Vectors,
        mean: torch.Tensor,
        reconstructions: Sequence[Reconstruct],
        device: torch.device,
    ) -> Measures:
        """Measures of SAEs, given the source's parameters, one reconstruction each and the mean (d) of the held-out vectors."""


def own_measures(
    section: SourceSection, heldout: Vectors, mean: torch.Tensor, reconstructions: Sequence[Reconstruct], device: torch.device
) -> Measures:
    """Measures that the source of these vectors adds; empty if it names no module."""
    name = source(heldout.source).measured_by
    if name is None:
        return Measures([{} for _ in reconstructions])
    return cast(Measuring, import_module(name)).measures(section, heldout, mean, reconstructions, device)
