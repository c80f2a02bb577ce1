"""The rows of both sides in a record of drift, where the plan wants them there (`drift.row_values`)."""

from __future__ import annotations

from typing import Final

from streams.plan.mapping import Shape
from streams.plan.policy import Drift
from streams.rows.canonical import Row

Shown = dict[str, str | None]
# Of one row; a record with two of them, and what else is in it, fits into a Kafka message whatever the text is.
ROW_CHARACTERS_MAX: Final = 1 << 20


def shown_row(policy: Drift, shape: Shape, row: Row | None) -> Shown | None:
    """A mapped row by the replica's names of its columns, in canonical text. None: there is none, or it is withheld.

    Withheld are all where the plan does not ask for them, and one that is too large; and keys where they are hidden.
    """
    if row is None or not policy.row_values or sum(len(value) for value in row if value) > ROW_CHARACTERS_MAX:
        return None
    left_out = shape.target_key if policy.hidden_keys else ()
    columns = zip(shape.target_columns, row, strict=False)
    return {name: value for name, value in columns if name not in left_out}
