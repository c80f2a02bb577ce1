"""The row filter of a mapping: the same decision over canonical text here and as SQL in Postgres."""

from __future__ import annotations

import operator
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite
from typing import Any, Final
from uuid import UUID

from streams.plan.conditions import Condition, Scalar

Test = Callable[[str | None], bool]

INTEGERS: Final = frozenset(("int2", "int4", "int8", "oid"))
FLOATS: Final = frozenset(("float4", "float8"))
NUMBERS: Final = INTEGERS | FLOATS | {"numeric"}
_INT8: Final = range(-(2**63), 2**63)
# numeric holds far more, but no filter value needs it, and every comparison stays cheap.
_EXPONENT_MAX: Final = 400
_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_DAY: Final = r"\d{4,6}-\d\d-\d\d"
_TIME: Final = r"\d\d:\d\d:\d\d(?:\.\d{0,5}[1-9])?"
# These are compared as the text Postgres prints, so a value written otherwise would silently never match.
_PRINTED: Final[dict[str, tuple[str, str]]] = {
    "date": (rf"(?:{_DAY}(?: BC)?|-?infinity)", "2024-05-31"),
    "timestamp": (rf"(?:{_DAY} {_TIME}(?: BC)?|-?infinity)", "2024-05-31 08:00:00"),
    "timestamptz": (rf"(?:{_DAY} {_TIME}\+00(?: BC)?|-?infinity)", "2024-05-31 08:00:00+00"),
    "time": (_TIME, "08:00:00"),
    "bytea": (r"\\x(?:[0-9a-f]{2})*", "\\x00ff"),
}


@dataclass(frozen=True, slots=True)
class Term:
    """One compiled comparison: `test` over a value's canonical text, `sql` with `params` for the same in Postgres."""

    column: str
    test: Test
    sql: str
    params: tuple[str, ...]
    meaning: str


def compiled(condition: Condition, type_name: str) -> Term:
    """`condition` over a column of this Postgres type. Raises ValueError with a sentence when they do not fit."""
    if condition.op == "is_null":
        return _null_term(condition.column, wanted=condition.value is not False)
    values = condition.value if isinstance(condition.value, tuple) else (condition.value,)
    if type_name in NUMBERS:
        return _number_term(condition, type_name, [_number(condition, value) for value in values])
    if type_name == "bool":
        return _bool_term(condition, [_bool(condition, value) for value in values])
    return _text_term(condition, type_name, [_text(condition, type_name, value) for value in values])


def identifier(name: str) -> str:
    """`name` quoted for SQL that goes through psycopg's placeholders."""
    return '"' + name.replace('"', '""').replace("%", "%%") + '"'


def _null_term(column: str, *, wanted: bool) -> Term:
    sql = f"{identifier(column)} IS {'' if wanted else 'NOT '}NULL"
    return Term(column, lambda text: (text is None) is wanted, sql, (), f"is_null {wanted}")


def _number(condition: Condition, value: Scalar | None) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError(f"column {condition.column} holds numbers: the value must be a number, without quotes")
    number = Decimal(value)
    if number and not -_EXPONENT_MAX <= number.adjusted() <= _EXPONENT_MAX:
        raise ValueError(f"the value for column {condition.column} is out of range")
    return number


def _number_term(condition: Condition, type_name: str, values: list[Decimal]) -> Term:
    cast = "float8" if type_name in FLOATS else "int8" if all(_is_int8(value) for value in values) else "numeric"
    if type_name in FLOATS and any(not isfinite(float(value)) or (value and not float(value)) for value in values):
        raise ValueError(f"the value for column {condition.column} is out of range for {type_name}")
    cast = "numeric" if type_name == "numeric" else cast
    texts = [f"{value:f}" for value in values]
    return _term(condition, identifier(condition.column), cast, texts, _READ[type_name], _WANTED[type_name])


def _is_int8(value: Decimal) -> bool:
    return value == value.to_integral_value() and int(value) in _INT8


def _numeric(text: str) -> tuple[bool, Decimal]:
    value = Decimal(text)
    # For Postgres NaN equals itself and is larger than every number.
    return (True, Decimal()) if value.is_nan() else (False, value)


def _float8(text: str) -> tuple[bool, float]:
    value = float(text)
    return (True, 0.0) if value != value else (False, value)


def _float4(text: str) -> tuple[bool, float]:
    # Postgres widens the stored single to a double before it compares; so do we.
    value = float(text)
    return (True, 0.0) if value != value else (False, struct.unpack("f", struct.pack("f", value))[0])


def _exact(text: str) -> Decimal | int:
    # An integer column may be compared with 2.5; whole values stay ints because ints compare faster.
    value = Decimal(text)
    return int(value) if value == value.to_integral_value() else value


# How a row's value is read, and how the plan's is: a double beside a single, as in SQL.
_READ: Final[dict[str, Callable[[str], Any]]] = {
    **dict.fromkeys(INTEGERS, int),
    "numeric": _numeric,
    "float4": _float4,
    "float8": _float8,
}
_WANTED: Final[dict[str, Callable[[str], Any]]] = {
    **dict.fromkeys(INTEGERS, _exact),
    "numeric": _numeric,
    "float4": _float8,
    "float8": _float8,
}


def _bool(condition: Condition, value: Scalar | None) -> str:
    if not isinstance(value, bool):
        raise ValueError(f"column {condition.column} is a boolean: the value must be true or false")
    return "t" if value else "f"


def _bool_term(condition: Condition, values: list[str]) -> Term:
    return _term(condition, identifier(condition.column), "bool", values, str)


def _text(condition: Condition, type_name: str, value: Scalar | None) -> str:
    column = condition.column
    if condition.op not in ("=", "!=", "in"):
        raise ValueError(f"column {column} is of type {type_name}, which is compared as text: only =, != and in work")
    if type_name == "inet":  # its cast to text says /32 where its output says nothing
        raise ValueError(f"column {column} is of type inet, which a filter does not compare yet")
    if not isinstance(value, str):
        raise ValueError(f"column {column} is of type {type_name}: write the value in quotes")
    if type_name == "uuid":
        return _uuid(column, value)
    pattern, example = _PRINTED.get(type_name, ("", ""))
    if pattern and not re.fullmatch(pattern, value, re.ASCII):
        raise ValueError(f"column {column} is of type {type_name}: write the value as Postgres prints it, {example}")
    return value


def _uuid(column: str, value: str) -> str:
    try:
        return str(UUID(value))
    except ValueError:
        raise ValueError(f"column {column} is of type uuid, and the value is none") from None


def _text_term(condition: Condition, type_name: str, values: list[str]) -> Term:
    # bpchar pads with spaces that do not count when it is compared; the cast to text drops them in SQL.
    reader = (lambda text: text.rstrip(" ")) if type_name == "bpchar" else str
    return _term(condition, f'{identifier(condition.column)}::text COLLATE "C"', "text", values, reader)


def _term(
    condition: Condition,
    operand: str,
    cast: str,
    values: list[str],
    reader: Callable[[str], Any],
    parse: Callable[[str], Any] = str,
) -> Term:
    meaning = f"{cast} {condition.op} {values!r}"
    wanted = [parse(value) for value in values]
    if condition.op == "in":
        sql = f"{operand} IN ({', '.join([f'%s::{cast}'] * len(values))})"
        return Term(condition.column, _member(reader, frozenset(wanted)), sql, tuple(values), meaning)
    compare = _COMPARE[condition.op]
    sql = f"{operand} {'<>' if condition.op == '!=' else condition.op} %s::{cast}"
    return Term(condition.column, _comparison(reader, compare, wanted[0]), sql, tuple(values), meaning)


def _comparison(reader: Callable[[str], Any], compare: Callable[[Any, Any], bool], wanted: Any) -> Test:
    return lambda text: text is not None and compare(reader(text), wanted)


def _member(reader: Callable[[str], Any], wanted: frozenset[Any]) -> Test:
    return lambda text: text is not None and reader(text) in wanted
