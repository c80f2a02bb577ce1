"""What every part of the plan's model shares."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import JsonSchemaValue

# A word of the vocabulary whose form is open: `plan check` refuses it by name until it does something.
NotBuilt = Annotated[Any, Field(description="Not built yet: refused.")]
# A whole number written as one: neither text nor true.
Whole = Annotated[int, Field(strict=True, ge=1)]


def or_nothing(schema: JsonSchemaValue) -> JsonSchemaValue:
    """The schema of a field that may stand in the file without a value."""
    return {"anyOf": [schema, {"type": "null"}]}


class Part(BaseModel):
    """One mapping of the plan file: unknown keys are refused, values never change, input is never echoed in errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)
