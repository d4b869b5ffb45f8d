"""The base class of all parts of a recipe (frozen, unknown fields refused), and types of numbers."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

Share = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0)]
Triple = tuple[NonNegative, NonNegative, NonNegative]
Sizes3 = tuple[PositiveInt, PositiveInt, PositiveInt]


class StrictSettings(BaseModel):
    """Settings that are frozen and refuse unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)
