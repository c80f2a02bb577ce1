"""What a database says about itself, as plain data: what `plan check --live` compares the plan with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from streams.plan.mapping import Column


@dataclass(frozen=True, slots=True)
class ColumnInfo:
    """A column: `type` is the type's own name (`int4`), `shown` as SQL writes it (`character varying(20)`).

    A domain goes by its base type's name and modifier. sort: `enum`, `domain over enum`, `array`, `composite`,
    `multirange`, or empty for every other type. numbered: the database numbers it itself, and takes no other value.
    held: the types of what it holds in the end, in arrays, composites and ranges too; enums left out.
    """

    name: str
    type: str
    typmod: int
    shown: str
    sort: str
    nullable: bool
    generated: bool
    has_default: bool
    numbered: bool = False
    held: tuple[str, ...] = ()

    @property
    def is_enum(self) -> bool:
        """Whether its values are an enum's."""
        return self.sort == "enum"

    @property
    def column(self) -> Column:
        """The column as mappings see it."""
        return Column(self.name, self.type, self.nullable, self.typmod)


@dataclass(frozen=True, slots=True)
class PartInfo:
    """What holds rows of a table: the table itself or, where it is partitioned, one of its partitions at any depth.

    identity_columns: of the index that is its replica identity, where one is.
    """

    name: str
    relkind: str
    logged: bool
    replica_identity: str
    identity_columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TableInfo:
    """A table; `privileges` are those the connected role has, `is_owner` whether it has the owner's rights.

    ancestors: the tables it is a partition of. heirs: tables that inherit from it and are no partitions.
    """

    name: str
    relkind: str
    row_security: bool
    is_owner: bool
    privileges: frozenset[str]
    columns: tuple[ColumnInfo, ...]
    primary_key: tuple[str, ...]
    key_deferrable: bool
    parts: tuple[PartInfo, ...] = ()
    ancestors: tuple[str, ...] = ()
    heirs: tuple[str, ...] = ()

    def column(self, name: str) -> ColumnInfo | None:
        """The column of this name."""
        return next((column for column in self.columns if column.name == name), None)

    @property
    def mapped_columns(self) -> tuple[Column, ...]:
        """The columns as mappings see them, in the table's order."""
        return tuple(column.column for column in self.columns)


@dataclass(frozen=True, slots=True)
class SlotInfo:
    """A replication slot."""

    plugin: str
    database: str
    active: bool


@dataclass(frozen=True, slots=True)
class PublicationInfo:
    """A publication; `is_owner`: whether the role has its owner's rights."""

    is_owner: bool
    tables: frozenset[str]


@dataclass(frozen=True, slots=True)
class DatabaseInfo:
    """A database and the role that is connected.

    version: as a number, such as 180004. schemas: whether the role may create in each. enums: the labels of each enum
    type that needs no schema's name. slots_bounded: how much log the server keeps for a slot has a bound.
    unreadable_enums: types that keep Debezium from starting, whether a table has them or not.
    """

    name: str
    role: str
    system_identifier: str
    wal_level: str
    is_superuser: bool
    may_replicate: bool
    may_create: bool
    slots_max: int
    slots: Mapping[str, SlotInfo] = field(default_factory=dict)
    publications: Mapping[str, PublicationInfo] = field(default_factory=dict)
    unreadable_enums: tuple[str, ...] = ()
    schemas: Mapping[str, bool] = field(default_factory=dict)
    enums: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    version: int = 0
    slots_bounded: bool = True


@dataclass(frozen=True, slots=True)
class Catalog:
    """A database with those of the asked-for tables that exist."""

    database: DatabaseInfo
    tables: Mapping[str, TableInfo]
