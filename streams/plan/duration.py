"""Durations as people write them in the plan: `500ms`, `2s`, `1h30m`, `7d`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Final

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

# Largest unit first; the order is also the only order in which a duration may name its units.
_UNITS: Final = (
    ("d", timedelta(days=1)),
    ("h", timedelta(hours=1)),
    ("m", timedelta(minutes=1)),
    ("s", timedelta(seconds=1)),
    ("ms", timedelta(milliseconds=1)),
)
PATTERN: Final = r"^(?=\d)(\d{1,6}d)?(\d{1,6}h)?(\d{1,6}m(?!s))?(\d{1,6}s)?(\d{1,6}ms)?$"
_MATCH: Final = re.compile(PATTERN.replace(r"\d", "[0-9]"))
# Ten years: longer is a slip of the pen, and timedelta arithmetic stays far from its own limit.
LONGEST: Final = timedelta(days=3660)


def parse_duration(value: object) -> timedelta:
    """The duration written as `value`; raises ValueError with a sentence for anything else, zero included."""
    if isinstance(value, timedelta):
        return _bounded(value)
    match = _MATCH.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("must be a duration with units, such as 500ms, 2s, 1h30m or 7d")
    return _bounded(sum((_term(text, unit) for text, unit in zip(match.groups(), _UNITS, strict=True)), timedelta()))


def format_duration(value: timedelta) -> str:
    """The shortest text that `parse_duration` reads back as `value` (whole milliseconds)."""
    parts: list[str] = []
    rest = value
    for name, unit in _UNITS:
        count, rest = divmod(rest, unit)
        if count:
            parts.append(f"{count}{name}")
    return "".join(parts) or "0s"


def _term(text: str | None, unit: tuple[str, timedelta]) -> timedelta:
    name, size = unit
    return int(text.removesuffix(name)) * size if text else timedelta()


def _bounded(value: timedelta) -> timedelta:
    if not timedelta() < value <= LONGEST:
        raise ValueError("must be longer than nothing and at most 3660d")
    return value


Duration = Annotated[
    timedelta,
    PlainValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": PATTERN, "examples": ["2s", "500ms", "1h30m", "7d"]}),
]
