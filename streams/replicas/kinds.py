"""How the stores without a schema keep a Postgres type: as an integer, a number, a boolean, bytes, or its text."""

from __future__ import annotations

import re
from enum import StrEnum


class Kind(StrEnum):
    """A family of types that one store representation serves."""

    integer = "integer"
    number = "number"
    boolean = "boolean"
    binary = "binary"
    text = "text"


# Postgres's own names of the types and their SQL spellings.
_KINDS = {
    Kind.integer: ("int2", "int4", "int8", "smallint", "integer", "bigint", "oid"),
    Kind.number: ("numeric", "decimal"),
    Kind.boolean: ("bool", "boolean"),
    Kind.binary: ("bytea",),
}
_KIND_OF = {name: kind for kind, names in _KINDS.items() for name in names}
_BITS = {"int2": 16, "smallint": 16, "int4": 32, "integer": 32, "int8": 64, "bigint": 64}
_UNSIGNED_BITS = {"oid": 32}

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}").fullmatch
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]*[1-9])?").fullmatch
_BINARY = re.compile(r"\\x(?:[0-9a-f]{2})*").fullmatch
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch


def kind_of(type_name: str) -> Kind:
    """The kind of a Postgres type; what has none of its own is kept as text. A modifier such as (10,2) is ignored."""
    return _KIND_OF.get(_bare(type_name), Kind.text)


def possible(type_name: str, text: str) -> bool:
    """Whether `text` can be the canonical text of a value of this type; lenient where text is anything."""
    name, kind = _bare(type_name), kind_of(type_name)
    if kind is Kind.integer:
        return _INTEGER(text) is not None and _fits(name, int(text))
    if kind is Kind.number:
        return text in ("NaN", "Infinity", "-Infinity") or (_NUMBER(text) is not None and text != "-0")
    if kind is Kind.boolean:
        return text in ("t", "f")
    if kind is Kind.binary:
        return _BINARY(text) is not None
    return "\x00" not in text and (name != "uuid" or _UUID(text) is not None)


def _fits(name: str, value: int) -> bool:
    if name in _UNSIGNED_BITS:
        return 0 <= value < 1 << _UNSIGNED_BITS[name]
    half = 1 << (_BITS[name] - 1)
    return -half <= value < half


def _bare(type_name: str) -> str:
    return type_name.partition("(")[0]
