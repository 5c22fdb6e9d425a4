"""The interface between stages and sources of vectors.

The source NAME is the object `SOURCE` of the module `mfr.sources.NAME.source`. Its parameters are in `mfr.config.NAME`. It
names the modules of higher floors that measure, explain and report what is only its own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Protocol

import numpy as np

from mfr import sources
from mfr.config.source import SourceSection
from mfr.runtime.errors import UserError

# Maps the number of the first row and the number of rows to active features and coefficients, each (rows, a).
Draw = Callable[[int, int], tuple[np.ndarray, np.ndarray]]


class Facts(Protocol):
    """What a file of vectors stores besides the vectors; see `mfr.vectors.reader.Vectors`."""

    def fact(self, name: str) -> str:
        """A fact needed to make the file again."""

    def attached(self, name: str) -> np.ndarray:
        """A whole column, or another array stored in the file."""


@dataclass(frozen=True)
class Origin:
    """The language model and hook point that vectors come from; None if unknown."""

    model_name: str | None = None
    model_revision: str | None = None
    model_weights_sha256: str | None = None
    hook_name: str | None = None
    context_size: int | None = None
    prepend_bos: bool | None = None


class Source:
    """Default answers of a source; each source overrides those that differ."""

    splits: Sequence[str] = ("train", "heldout")
    vectors_by: str = "the stage that makes it"  # the stage that writes the splits
    prepared: Sequence[Path] = ()  # outputs of its stages other than vectors
    read_with_vectors: Sequence[Path] = ()  # those that evaluate and describe read
    read_by_compare: Sequence[Path] = ()  # those that compare reads
    measured_by: str | None = None  # a module whose `measures` adds to an evaluation; see `mfr.evaluation.own`
    explained_by: str | None = None  # a module whose `contexts` explains rows and features; see `mfr.description.contexts`
    reported_by: str | None = None  # a module whose `write` and `numbers` add results; see `mfr.comparison.report`
    exported: bool = False  # whether each ensemble is also exported for SAELens

    def files_of_run(self, method: str, seed: str | int) -> list[Path]:
        """Files with measurements of one ensemble that only this source's stages make."""
        return []

    def outside(self, section: SourceSection) -> dict[str, tuple[str, Path]]:
        """Parameters that may name a user's folder.

        Maps each parameter to that folder and to the output that must not contain it.
        """
        return {}

    def draw(self, parameters: str, seed: int) -> Draw:
        """A function that draws training vectors on demand.

        `parameters` is the JSON stored in the file of vectors; `seed` is the SAEs' seed.
        """
        raise NotImplementedError

    def origin(self, heldout: Facts) -> Origin:
        """The origin of the vectors in a held-out file."""
        return Origin()


def source(name: str) -> Source:
    """The source called `name`; raises `UserError` with the known names if there is none."""
    known = [module.name for module in iter_modules(sources.__path__) if module.ispkg]
    if name not in known:
        raise UserError(f"no source of vectors is called {name!r}; the sources are {', '.join(known)}")
    found: Source = import_module(f"mfr.sources.{name}.source").SOURCE
    return found
