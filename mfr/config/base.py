"""What a mapping of params.yaml is made of."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, Strict

# Strict: no 1.0, "1" or true, of which the engines, which read seeds as they are written, would make other names.
Positive = Annotated[int, Strict(), Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
Seed = Annotated[int, Strict(), Field(ge=0)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class Section(BaseModel):
    """A mapping of params.yaml; keys that it does not know are refused, as are numbers that are not finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
