"""Rows in records of drift: none, unless the plan wants them."""

from __future__ import annotations

import pytest

from streams.drift.rows import ROW_CHARACTERS_MAX, shown_row
from streams.plan.policy import Drift
from tests.support.shapes import make_shape

SHAPE = make_shape({"id": "int8", "name": "text", "note": "text"}, ["id"])
ROW = ("1", "Ørsted", None)
WANTED = Drift(row_values=True)


def test_a_row_is_shown_where_the_plan_wants_it() -> None:
    """As the replica names its columns; one that is not there is none."""
    assert shown_row(WANTED, SHAPE, ROW) == {"id": "1", "name": "Ørsted", "note": None}
    assert shown_row(WANTED, SHAPE, None) is None
    assert shown_row(Drift(), SHAPE, ROW) is None


def test_hidden_keys_are_left_out_of_rows() -> None:
    """They would be shown there what the record hides."""
    assert shown_row(Drift(row_values=True, hidden_keys=True), SHAPE, ROW) == {"name": "Ørsted", "note": None}


@pytest.mark.parametrize(("more", "shown"), [(0, True), (1, False)])
def test_a_row_that_is_too_large_is_withheld(more: int, shown: bool) -> None:
    """The record must fit into a Kafka message."""
    row = ("1", "x" * (ROW_CHARACTERS_MAX - 1 + more), None)
    assert (shown_row(WANTED, SHAPE, row) is not None) is shown
