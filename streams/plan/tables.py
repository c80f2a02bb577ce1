"""Tables in the plan: of the source of truth, and as they appear in one replica."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from streams.plan.base import Part, Whole
from streams.plan.conditions import Condition
from streams.plan.losses import CHARACTERS_MAX, DIGITS_MAX
from streams.plan.names import ColumnName, Text
from streams.plan.policy import Policies

PARTITIONS_MAX: Final = 1000
Partitions = Annotated[Whole, Field(le=PARTITIONS_MAX)]
Digits = Annotated[int, Field(strict=True, ge=0, le=DIGITS_MAX)]
Characters = Annotated[Whole, Field(le=CHARACTERS_MAX)]


class SourceTable(Part):
    """One table of the SOT: its primary key, in order, and the partitions of its change topic."""

    key: Annotated[tuple[ColumnName, ...], Field(min_length=1)]
    partitions: Partitions

    @model_validator(mode="after")
    def _columns_differ(self) -> Self:
        if len(set(self.key)) < len(self.key):
            raise ValueError("names a key column twice")
        return self


class Columns(Part):
    """What happens to columns on the way; every other column is copied as it is.

    `ask` names columns that do not arrive exactly: their values are read from the SOT at every change of their row.
    `round` and `cut` say how much of a column's values is kept: digits behind the point, characters.
    """

    rename: Mapping[ColumnName, ColumnName] = Field(default_factory=dict)
    omit: tuple[ColumnName, ...] = ()
    ask: tuple[ColumnName, ...] = ()
    round: Mapping[ColumnName, Digits] = Field(default_factory=dict)
    cut: Mapping[ColumnName, Characters] = Field(default_factory=dict)
    compute: Mapping[ColumnName, str] = Field(default_factory=dict)


class Layout(Part):
    """Where a table's rows go in one replica, and in which shape.

    `to` names the table of a Postgres or DynamoDB replica; `key` is the key template of a Redis replica;
    `tombstones` says what readers of a DynamoDB replica see of a deleted row.
    """

    to: Text | None = None
    key: Text | None = None
    columns: Columns = Columns()
    where: tuple[Condition, ...] = ()
    tombstones: Literal["attribute", "table"] | None = None
    join: Any = None

    def target(self, table: str, kind: str) -> str:
        """What this mapping writes to: a table's name, or for Redis the key template."""
        return (self.key if kind == "redis" else self.to) or table


class TableMapping(Policies, Layout):
    """One SOT table in one replica: its layout and every decision about it, the replica's `defaults` merged in."""
