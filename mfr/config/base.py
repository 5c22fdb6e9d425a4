"""Types that the sections of params.yaml are made of."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("empty; give a value, or remove the key if it has a default")
    return text


def _not_a_variable(text: str) -> str:
    if re.search(r"(^|/)\$\w|\$\{", text):
        raise ValueError(f"{text!r}: variables such as $HOME are not replaced; write the path itself, in which ~ is your home")
    return text


Positive = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
Seed = Annotated[int, Field(ge=0)]
Filled = Annotated[str, AfterValidator(_not_blank), Field(json_schema_extra={"minLength": 1})]
PathOrName = Annotated[Filled, AfterValidator(_not_a_variable)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class Section(BaseModel):
    """A mapping of params.yaml; it refuses unknown keys and non-finite numbers.

    Strict: the engines copy seeds as written, so 1.0, "1" or true would name other files than 1, and `noise_db: false` would be
    0 dB. A whole number is accepted for a number with decimals.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)
