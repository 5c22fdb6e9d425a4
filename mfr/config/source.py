"""Parameters that every source of vectors has."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from pydantic import Field, model_validator

from mfr.config.base import Name, Section
from mfr.config.training import Method, Train

Stages = Mapping[str, Sequence[str]]


class Compare(Section):
    """How methods are compared."""

    versus: dict[Name, Name] = Field(
        {},
        description="Reference of a method if it is not `baseline`, such as `mfr: reinit`. Metrics, tables and the claims "
        "about language models report changes against it. `contests.csv` compares every method with each rival.",
    )


class Evaluate(Section):
    """What one source measures on held-out vectors, besides what all sources do."""


class EvaluateTruth(Evaluate):
    """What is measured if the true features are known."""

    recovered_at: float = Field(0.9, gt=0, lt=1, description="Cosine above which a true feature counts as recovered.")


class SourceSection(Section):
    """A source of vectors; each source adds the parameters that make its vectors.

    `stages` are those that only this source has, with the keys of the section that each declares; see `mfr.config.declared`.
    """

    stages: ClassVar[Stages] = {}

    train: Train
    methods: dict[Name, Method] = Field(description="Methods to compare; one must be called `baseline`.")
    evaluate: Evaluate = Evaluate()
    compare: Compare = Compare()

    @model_validator(mode="after")
    def _methods_can_run(self) -> "SourceSection":
        if "baseline" not in self.methods:
            raise ValueError("methods has no `baseline`, which the others are compared with; add `baseline: {}`")
        for name, method in self.methods.items():
            if name in ("nan", "null"):
                raise ValueError(f"method {name} would be read from tables as a missing value; rename it")
            for part in ("penalty", "transplant"):
                if getattr(method, part) and len(self.train.k) < 2:
                    raise ValueError(
                        f"method {name} has a {part}, which needs at least two SAEs, but train.k has only one entry; "
                        f"add one, or remove the {part}"
                    )
        return self

    @model_validator(mode="after")
    def _methods_are_known(self) -> "SourceSection":
        for name, other in self.compare.versus.items():
            if {name, other} - set(self.methods):
                raise ValueError(f"compare.versus has {name}: {other}, but the methods are {', '.join(self.methods)}")
        return self
