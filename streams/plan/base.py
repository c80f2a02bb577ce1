"""What every part of the plan's model shares."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

# A whole number written as one: neither text nor true.
Whole = Annotated[int, Field(strict=True, ge=1)]


class Part(BaseModel):
    """One mapping of the plan file: unknown keys are refused, values never change, input is never echoed in errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)
