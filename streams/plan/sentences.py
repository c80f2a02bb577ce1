"""Pydantic's errors about a plan, said in the plan's own words. Never repeats a value: it may be a secret."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any, Final

from pydantic_core import ErrorDetails

from streams.plan.base import Part
from streams.plan.finding import Severity
from streams.plan.names import NAME_PATTERN, PREFIX_PATTERN, SLOT_PATTERN, TABLE_PATTERN
from streams.plan.text import listed
from streams.plan.who import meaning

_TYPES: Final = {
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "dict_type": "must be a mapping (key: value)",
    "mapping_type": "must be a mapping (key: value)",
    "model_type": "must be a mapping (key: value)",
    "model_attributes_type": "must be a mapping (key: value)",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "path_type": "must be a path",
    "string_too_short": "must not be empty",
    "union_tag_not_found": "must be a mapping with a kind",
}
_PATTERNS: Final = {
    TABLE_PATTERN: "must be schema.table, of letters, digits and _ (quoted names are not built yet)",
    NAME_PATTERN: "must begin with a small letter and have only small letters, digits, _ and -, at most 40",
    SLOT_PATTERN: "must have only small letters, digits and _, at most 63: Postgres allows no other",
    PREFIX_PATTERN: "must have only letters, digits, '.', _ and -, at most 100: Kafka allows no other",
}


def severity_of(error: ErrorDetails, value: object) -> Severity:
    """Whether something is missing or wrong. A field without a value is as missing as no field."""
    empty = error["type"] in ("string_too_short", "too_short")
    return "missing" if error["type"] == "missing" or value is None or empty else "invalid"


def sentence_of(error: ErrorDetails, field: str | int, value: object) -> str:
    """What is the matter with `field`, as the end of a sentence that its path begins."""
    if error["type"] == "missing" or value is None:
        return f"is missing: {meaning(field)}" if meaning(field) else "is missing"
    return _by_type(error, field)


def _by_type(error: ErrorDetails, field: str | int) -> str:
    kind, context = error["type"], error.get("ctx", {})
    handler = _WITH_CONTEXT.get(kind)
    if handler is not None:
        return handler(context)
    if kind == "extra_forbidden":
        return _unknown(str(field))
    return _TYPES.get(kind) or f"cannot be used: {error['msg']}"


def _unknown(field: str) -> str:
    close = [] if field in _known_fields() else get_close_matches(field, _known_fields(), n=1)
    return f"is not a field of the plan here{f'; did you mean {close[0]}?' if close else ''}"


@cache
def _known_fields() -> tuple[str, ...]:
    found: set[str] = set()
    parts: list[type[Part]] = [Part]
    while parts:
        part = parts.pop()
        found.update(part.model_fields)
        parts += part.__subclasses__()
    return tuple(sorted(found))


def _choice(expected: str) -> str:
    words = re.findall(r"'([^']*)'", expected) or [expected]
    return f"must be {listed(words, 'or')}"


def _pattern(context: Mapping[str, Any]) -> str:
    return _PATTERNS.get(context["pattern"], "must have only letters, digits and _")


_WITH_CONTEXT: Final[dict[str, Callable[[Mapping[str, Any]], str]]] = {
    "value_error": lambda context: str(context["error"]),
    "literal_error": lambda context: _choice(context["expected"]),
    "union_tag_invalid": lambda context: _choice(context["expected_tags"]),
    "string_pattern_mismatch": _pattern,
    "greater_than_equal": lambda context: f"must be at least {context['ge']}",
    "less_than_equal": lambda context: f"must be at most {context['le']}",
    "too_short": lambda context: "must not be empty",
    "too_long": lambda context: f"must have at most {context['max_length']} entries",
    "string_too_long": lambda context: f"must have at most {context['max_length']} characters",
}
