"""Parameters that every source of vectors has."""

from pydantic import Field, model_validator

from mfr.config.base import Name, Section
from mfr.config.training import Method, Train


class Compare(Section):
    """How methods are compared."""

    versus: dict[Name, Name] = Field(
        {},
        description="Methods whose change in metrics and tables, and in the claims about language models, is against another "
        "one than `baseline`, such as `mfr: reinit`. `contests.csv` has all against each rival.",
    )


class Evaluate(Section):
    """What is measured on held-out vectors beyond what all sources have in common."""


class EvaluateTruth(Evaluate):
    """What is measured if the true features are known."""

    recovered_at: float = Field(0.9, gt=0, lt=1, description="Cosine above which a true feature counts as recovered.")


class SourceSection(Section):
    """A source of vectors; a source adds what makes its vectors."""

    train: Train
    methods: dict[Name, Method] = Field(description="The methods that are compared; one is called `baseline`.")
    evaluate: Evaluate = Evaluate()
    compare: Compare = Compare()

    @model_validator(mode="after")
    def _methods_can_run(self) -> "SourceSection":
        if "baseline" not in self.methods:
            raise ValueError("methods has no `baseline`, which the others are compared with: add `baseline: {}`")
        for name, method in self.methods.items():
            if name in ("nan", "null"):
                raise ValueError(f"method {name} would be read from tables as a missing value: rename it")
            for part in ("penalty", "transplant"):
                if getattr(method, part) and len(self.train.k) < 2:
                    raise ValueError(
                        f"method {name} has a {part}, which needs at least two SAEs: train.k lists {len(self.train.k)}"
                    )
        return self

    @model_validator(mode="after")
    def _methods_are_known(self) -> "SourceSection":
        for name, other in self.compare.versus.items():
            if {name, other} - set(self.methods):
                raise ValueError(f"compare.versus has {name}: {other}, but the methods are {', '.join(self.methods)}")
        return self
