"""One comparison of a row filter, as written in the plan."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, Self

from pydantic import PlainValidator, WithJsonSchema, model_validator

from streams.plan.base import Part
from streams.plan.names import ColumnName

Operator = Literal["=", "!=", "<", "<=", ">", ">=", "in", "is_null"]
ORDERING: Final = frozenset(("<", "<=", ">", ">="))
IN_VALUES_MAX: Final = 1000

Scalar = bool | int | Decimal | str
_SCALAR_SCHEMA: Final[dict[str, Any]] = {"type": ["boolean", "number", "string"]}
_VALUE_SCHEMA: Final[dict[str, Any]] = {
    "anyOf": [
        _SCALAR_SCHEMA,
        {"type": "array", "items": _SCALAR_SCHEMA, "minItems": 1, "maxItems": IN_VALUES_MAX},
        {"type": "null"},
    ]
}


def _value(value: object) -> Scalar | tuple[Scalar, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list | tuple):
        return _scalar(value)
    if not 1 <= len(value) <= IN_VALUES_MAX:
        raise ValueError(f"must list between 1 and {IN_VALUES_MAX} values")
    return tuple(_scalar(item) for item in value)


def _scalar(value: object) -> Scalar:
    if isinstance(value, float) and math.isfinite(value):
        return Decimal(repr(value))
    if isinstance(value, Decimal) and not value.is_finite():
        raise ValueError("must be a finite number")
    if isinstance(value, bool | int | Decimal | str):
        return value
    raise ValueError("must be a number, text, true or false")


class Condition(Part):
    """`column op value`. `in` takes a list; `is_null` takes true (the default) or false."""

    column: ColumnName
    op: Operator
    value: Annotated[Scalar | tuple[Scalar, ...] | None, PlainValidator(_value), WithJsonSchema(_VALUE_SCHEMA)] = None

    @model_validator(mode="after")
    def _value_fits_operator(self) -> Self:
        if self.op == "in" and not isinstance(self.value, tuple):
            raise ValueError("op in needs a list as its value")
        if self.op == "is_null" and not isinstance(self.value, bool | None):
            raise ValueError("op is_null takes true or false")
        if self.op not in ("in", "is_null") and (self.value is None or isinstance(self.value, tuple)):
            raise ValueError(f"op {self.op} needs one value; to look for NULL use op is_null")
        if self.op in ORDERING and (isinstance(self.value, bool) or not isinstance(self.value, int | Decimal)):
            raise ValueError(f"op {self.op} needs a number: text is ordered differently by different collations")
        return self
