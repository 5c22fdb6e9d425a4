"""Parameters of synthetic vectors with known features."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from mfr.config.base import Positive, Section, Seed
from mfr.config.source import EvaluateTruth, SourceSection, Stages


class GenerateSynthetic(Section):
    """Vectors with known features (paper, section 3.1)."""

    reading: Literal["every_group_k3", "one_group_k3", "one_group_k36"] = Field(
        "every_group_k3",
        description="Features active in a vector: 3 from every group, 3 from one group, or 36 from one group.",
    )
    dimension: Positive = Field(256, description="Size of a vector, d.")
    features: Annotated[int, Field(gt=0, le=65536)] = Field(512, description="Number of true features, G.")
    groups: Positive = Field(12, description="Number of groups of features that are active together, E.")
    decay: float = Field(0.99, ge=0.001, le=1, description="λ: feature j is chosen with probability proportional to λʲ.")
    train_rows: Positive | None = Field(
        description="Training vectors. `null` stores none: each batch is drawn when it is used, without limit."
    )
    heldout_rows: Positive = Field(description="Held-out vectors.")
    seed: Seed = Field(0, description="Seed of features and vectors; `seeds` are those of the SAEs.")

    @property
    def active_per_group(self) -> int:
        """K, the number of features drawn from an active group."""
        return 36 if self.reading == "one_group_k36" else 3

    @property
    def every_group(self) -> bool:
        """Whether every group is active in each vector, instead of one."""
        return self.reading == "every_group_k3"

    @model_validator(mode="after")
    def _groups_hold_k(self) -> "GenerateSynthetic":
        smallest = self.features // self.groups
        if smallest < self.active_per_group:
            raise ValueError(
                f"reading = {self.reading} draws {self.active_per_group} features from a group, but {self.features} features "
                f"in {self.groups} groups leave only {smallest} per group; use fewer groups or more features"
            )
        return self


class Synthetic(SourceSection):
    """Vectors with known features."""

    stages: ClassVar[Stages] = {"generate_synthetic": ["generate_synthetic"]}

    generate_synthetic: GenerateSynthetic
    evaluate: EvaluateTruth = EvaluateTruth()

    @model_validator(mode="after")
    def _saes_can_be_compared(self) -> "Synthetic":
        if len(self.train.k) < 2:
            raise ValueError("train.k has only one entry, but this source compares at least two SAEs; add one")
        return self
