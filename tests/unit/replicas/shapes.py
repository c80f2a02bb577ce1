"""Real shapes for unit tests, under a one-to-one mapping."""

from __future__ import annotations

from streams.plan.mapping import Column, Shape


def shape_of(columns: dict[str, str], key: list[str], table: str = "account") -> Shape:
    """A shape with these columns (name → type) and key."""
    made = tuple(Column(name, kind) for name, kind in columns.items())
    index = tuple(list(columns).index(name) for name in key)
    return Shape(table, made, tuple(columns), made, tuple(key), index, (), "v")
