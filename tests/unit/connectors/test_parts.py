"""Partitions as the catalog's rows give them."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from streams.connectors.parts import Look, look
from streams.drift.continuity import Part

PART = {"name": "public.root", "since": "700", "file": "16400", "logged": True, "divided": False, "born": True}
ROWS = (
    {**PART, "part": "1", "since": "", "divided": True},
    {**PART, "part": "2"},
    {**PART, "part": "3", "logged": False},
)


class Catalog:
    """A connection that answers with these rows."""

    def __init__(self, rows: tuple[dict[str, Any], ...]) -> None:
        self._rows = rows

    def execute(self, *_: object) -> list[dict[str, Any]]:
        """Whatever is asked."""
        return [dict(row) for row in self._rows]


@pytest.mark.parametrize("rows", list(permutations(ROWS)))
def test_rows_come_in_any_order(rows: tuple[dict[str, Any], ...]) -> None:
    """How the server joins depends on its statistics: a partition may come before its root."""
    one = Part("700", "16400", born=True, logged=True)
    expected = Look({"public.root": {"2": one, "3": one._replace(logged=False)}}, {"public.root"})
    assert look(Catalog(rows), ["public.root"]) == expected  # type: ignore[arg-type]
