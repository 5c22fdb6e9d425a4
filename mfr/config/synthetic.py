"""Parameters of synthetic vectors with known features."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mfr.config.base import Positive, Section, Seed
from mfr.config.source import EvaluateTruth, SourceSection


class GenerateSynthetic(Section):
    """Vectors with known features (paper, section 3.1)."""

    reading: Literal["every_group_k3", "one_group_k3", "one_group_k36"] = Field(
        "every_group_k3",
        description="What is active in a vector: 3 features in every group, 3 in one group, or 36 in one group.",
    )
    dimension: Positive = Field(256, description="Size of a vector, d.")
    features: Annotated[int, Field(gt=0, le=65536)] = Field(512, description="Number of true features, G.")
    groups: Positive = Field(12, description="Groups of features that are active together, E.")
    decay: float = Field(0.99, ge=0.001, le=1, description="λ: feature j is chosen with a probability proportional to λʲ.")
    train_rows: Positive | None = Field(
        description="Vectors for training; `null` stores none: every batch is drawn when it is used, without end."
    )
    heldout_rows: Positive = Field(description="Vectors for evaluation.")
    seed: Seed = Field(0, description="Seed of features and vectors; the SAEs' seeds are `seeds`.")

    @property
    def active_per_group(self) -> int:
        """K: features drawn in an active group."""
        return 36 if self.reading == "one_group_k36" else 3

    @property
    def every_group(self) -> bool:
        """Whether all groups are active in each vector, rather than one."""
        return self.reading == "every_group_k3"

    @model_validator(mode="after")
    def _groups_hold_k(self) -> "GenerateSynthetic":
        smallest = self.features // self.groups
        if smallest < self.active_per_group:
            raise ValueError(
                f"reading {self.reading} draws {self.active_per_group} features from a group, but {self.features} features "
                f"in {self.groups} groups leave only {smallest} in one: use fewer groups or more features"
            )
        return self


class Synthetic(SourceSection):
    """Vectors with known features."""

    generate_synthetic: GenerateSynthetic
    evaluate: EvaluateTruth = EvaluateTruth()

    @model_validator(mode="after")
    def _saes_can_be_compared(self) -> "Synthetic":
        if len(self.train.k) < 2:
            raise ValueError(f"train.k lists {len(self.train.k)} SAE, but the study compares at least two")
        return self
