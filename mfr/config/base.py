"""Types that the sections of params.yaml are made of."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, Strict

# Strict: the engines copy seeds as written, so 1.0, "1" or true would name other files than 1.
Positive = Annotated[int, Strict(), Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
Seed = Annotated[int, Strict(), Field(ge=0)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class Section(BaseModel):
    """A mapping of params.yaml; it refuses unknown keys and non-finite numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
