"""Which texts can be the canonical text of a type: what a store returns may have been written by anybody."""

from __future__ import annotations

import re

from streams.rows.types import Kind, kind_of

_RANGES = {
    "int2": range(-(2**15), 2**15),
    "int4": range(-(2**31), 2**31),
    "int8": range(-(2**63), 2**63),
    "oid": range(2**32),
}

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}").fullmatch
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]*[1-9])?").fullmatch
_BYTES = re.compile(r"\\x(?:[0-9a-f]{2})*").fullmatch
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch


def possible(type_name: str, text: str) -> bool:
    """Whether `text` can be the canonical text of a value of this type; yes where that cannot be told."""
    kind = kind_of(type_name)
    if kind is Kind.integer:
        return _INTEGER(text) is not None and int(text) in _RANGES[type_name]
    if kind is Kind.numeric:
        return text in ("NaN", "Infinity", "-Infinity") or is_plain_number(text)
    if kind is Kind.boolean:
        return text in ("t", "f")
    if kind is Kind.bytes:
        return _BYTES(text) is not None
    return "\x00" not in text and (type_name != "uuid" or _UUID(text) is not None)


def is_plain_number(text: str) -> bool:
    """Whether this is the canonical text of a finite numeric: no exponent, no zeros that say nothing."""
    return _NUMBER(text) is not None and text != "-0"
