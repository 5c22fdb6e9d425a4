"""What stages ask of a source of vectors, and where the answers are.

The source NAME is the object `SOURCE` of the module `mfr.sources.NAME.source`. Its parameters are in `mfr.config.NAME`, and what
only it reports in `mfr.comparison.NAME`, if it reports anything.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol

import numpy as np

from mfr.config.source import SourceSection

# From the number of the first row, and how many rows, to active features and coefficients (rows, a).
Draw = Callable[[int, int], tuple[np.ndarray, np.ndarray]]


class Facts(Protocol):
    """What a file of vectors says beside its vectors; see `mfr.vectors.reader.Vectors`."""

    def fact(self, name: str) -> str:
        """A fact needed to make the file again."""

    def attached(self, name: str) -> np.ndarray:
        """A whole column, or an array beside the rows."""


@dataclass(frozen=True)
class Origin:
    """Where vectors come from, as far as a language model's file says it."""

    model_name: str | None = None
    model_revision: str | None = None
    model_weights_sha256: str | None = None
    hook_name: str | None = None
    context_size: int | None = None
    prepend_bos: bool | None = None


class Source:
    """A source of which nothing special is to be said; others override what is theirs."""

    splits: Sequence[str] = ("train", "heldout")
    prepared: Sequence[Path] = ()  # outputs of its stages other than vectors
    read_by_evaluate: Sequence[Path] = ()  # those that evaluate and describe read
    read_by_compare: Sequence[Path] = ()  # those that compare reads
    measured_by: str | None = None  # a module whose `measures` adds to an evaluation; see `mfr.evaluation.own`
    explained_by: str | None = None  # a module whose `contexts` explains rows and features; see `mfr.description.contexts`
    exported: bool = False  # whether each ensemble is written for SAELens too

    def measured(self, method: str, seed: str | int) -> list[Path]:
        """What its own stages measure of each ensemble."""
        return []

    def outside(self, section: SourceSection) -> dict[str, tuple[str, Path]]:
        """Parameters that may name a user's folder: the folder's name, and the output that must be apart from it."""
        return {}

    def draw(self, parameters: str, seed: int) -> Draw:
        """What draws training vectors as they are used, from `parameters` that its file holds."""
        raise NotImplementedError

    def origin(self, heldout: Facts) -> Origin:
        """Where the vectors come from."""
        return Origin()


def source(name: str) -> Source:
    """The source called `name`."""
    found = import_module(f"mfr.sources.{name}.source").SOURCE
    assert isinstance(found, Source)
    return found
