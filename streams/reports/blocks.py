"""What a report is made of, whatever it is written as. Texts are plain: each writer escapes them."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

# Control characters, and those that change the direction of what stands after them: a key may hold any.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class Heading:
    """Begins a part."""

    text: str


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Some sentences."""

    text: str


@dataclass(frozen=True, slots=True)
class Points:
    """Sentences side by side."""

    items: Sequence[str]


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and values."""

    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under columns. figures: the columns that hold numbers."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    figures: Set[int] = frozenset()


class Point(NamedTuple):
    """A value at a moment; None: not known."""

    at: datetime
    value: float | None


def worst(points: Sequence[Point], most: int) -> list[Point]:
    """At most so many points: of neighbours the first moment, and the largest value that is known."""
    size = -(-len(points) // most)
    parts = (points[start : start + size] for start in range(0, len(points), size or 1))
    return [
        Point(part[0].at, max((point.value for point in part if point.value is not None), default=None))
        for part in parts
    ]


@dataclass(frozen=True, slots=True)
class Chart:
    """A value over time. step_seconds: between two points; span: the time that is marked; bound: a line across."""

    title: str
    unit: str
    points: Sequence[Point]
    first: datetime
    last: datetime
    step_seconds: float
    span: tuple[datetime, datetime]
    span_name: str
    bound: float | None = None
    bound_name: str = ""


Block = Heading | Paragraph | Points | Facts | Table | Chart


@dataclass(frozen=True, slots=True)
class Document:
    """A report."""

    title: str
    blocks: Sequence[Block]


def visible(text: str) -> str:
    """The text in one line, with what nobody would see as its code."""
    return "".join(f"\\u{{{ord(c):x}}}" if unicodedata.category(c) in _UNSEEN else c for c in text)
