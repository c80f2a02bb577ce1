"""Shapes for tests: columns with their Postgres types and a key, under a mapping that changes nothing but names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streams.plan.mapping import Column, Shape
from streams.plan.tables import Columns, Layout
from streams.rows.canonical import Row, encode


def make_shape(
    columns: Mapping[str, str],
    key: Sequence[str],
    table: str = "public.contract",
    rename: Mapping[str, str] | None = None,
) -> Shape:
    """A shape with these columns (name → Postgres's own name of the type) and key."""
    listed = [Column(name, kind, name not in key) for name, kind in columns.items()]
    return Shape.build(table, key, listed, Layout(columns=Columns(rename=rename or {})))


def key_of(shape: Shape, row: Row) -> bytes:
    """The canonical key bytes of a row of this shape."""
    return encode(shape.key_of(row))
