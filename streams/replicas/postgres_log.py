"""What a Postgres replica's own log says of its tables: which keys somebody else has changed. Pure.

A table is two in the log: the one that readers know, and the version table beside it (decision 2), whose old rows are
in the log too. Transactions come whole, in the order of their commits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from streams.checks.explained import Explained
from streams.plan.mapping import Shape
from streams.replicas.log import Foreign
from streams.replicas.pgoutput import UNCHANGED, Begin, Cells, Change, Commit, Mark, Relation, Truncate, decode
from streams.replicas.postgres_sql import Statements
from streams.rows.canonical import encode


class Logged(NamedTuple):
    """A table whose log is followed, as it is named in the replica."""

    shape: Shape
    target: tuple[str, str]
    versions: tuple[str, str]
    token: str
    dead: str
    # Statement that prints the canonical line of every row.
    content: bytes = b""

    @classmethod
    def of(cls, shape: Shape, sql: Statements) -> Logged:
        """The table that these statements write."""
        versions = (sql.token_schema, sql.version_name)
        return cls(shape, (sql.schema, sql.name), versions, sql.token_column, sql.dead_column, sql.list_content)


class Row(NamedTuple):
    """A row of a followed table as a transaction leaves it: its cells by column; None where it is gone."""

    table: str
    key: bytes
    cells: Mapping[str, bytes | None] | None


class _Place(NamedTuple):
    """Where things are in the rows of one relation. token, dead: of a version table."""

    table: str
    columns: tuple[str, ...]
    key: tuple[int, ...]
    token: int = -1
    dead: int = -1


class LogReader:
    """Takes the messages of pgoutput, and keeps what follows from them until it is asked for."""

    def __init__(
        self, tables: Mapping[str, Logged], *, on_row: Callable[[Row], None] | None = None,
        on_begin: Callable[[Begin], None] | None = None, on_mark: Callable[[Mark], None] | None = None,
    ) -> None:  # fmt: skip
        self._tables = tables
        self._named = {logged.target: table for table, logged in tables.items()}
        self._versions = {logged.versions: table for table, logged in tables.items()}
        self._places: dict[int, _Place] = {}
        self._open: dict[str, Explained] = {}
        self._foreign: dict[str, Foreign] = {}
        self._on_row, self._on_begin, self._on_mark = on_row, on_begin, on_mark
        # Whether a transaction has begun and is not over; where the last one ended.
        self.is_inside = False
        self.through = 0
        self.changes = 0

    def taken(self) -> dict[str, Foreign]:
        """What is not ours in the transactions that are complete, since it was last asked."""
        found, self._foreign = self._foreign, {}
        return found

    def take(self, message: bytes) -> None:
        """The next message."""
        match decode(message):
            case Change() as change:
                self._change(change)
            case Begin() as begin:
                self.is_inside = True
                if self._on_begin is not None:
                    self._on_begin(begin)
            case Commit(end):
                self._commit(end)
            case Relation() as relation:
                self._places.pop(relation.oid, None)
                if (place := self._place(relation)) is not None:
                    self._places[relation.oid] = place
            case Truncate(relations):
                for oid in relations:
                    if (found := self._places.get(oid)) is not None:
                        self._of(found.table).emptied()
            case Mark() as mark if self._on_mark is not None:
                self._on_mark(mark)

    def _place(self, relation: Relation) -> _Place | None:
        name, columns = (relation.schema, relation.name), relation.columns
        if (table := self._named.get(name)) is not None:
            key = _places(columns, self._tables[table].shape.target_key)
            return None if key is None else _Place(table, columns, key)
        if (table := self._versions.get(name)) is not None:
            logged = self._tables[table]
            found = _places(columns, (*logged.shape.target_key, logged.token, logged.dead))
            return None if found is None else _Place(table, columns, found[:-2], *found[-2:])
        return None

    def _change(self, change: Change) -> None:
        place = self._places.get(change.relation)
        if place is None:
            return
        self.changes += 1
        if place.token >= 0:
            self._token(place, change)
        else:
            self._row(place, change)

    def _token(self, place: _Place, change: Change) -> None:
        found, old, new = self._of(place.table), change.old, change.new
        # An update whose key moved takes the token from one and gives it to another.
        before = None if old is None else _key(old, place.key)
        after = None if new is None else _key(new, place.key)
        if old is not None and before is not None and before != after:
            found.forgotten(before, dead=old[place.dead] is not None)
        if new is not None and after is not None:
            earlier = old[place.token] if old is not None and before == after else None
            found.token(after, earlier, new[place.token] or b"", dead=new[place.dead] is not None)

    def _row(self, place: _Place, change: Change) -> None:
        found = self._of(place.table)
        after = None if change.new is None else _key(change.new, place.key)
        before = None if change.old is None else _key(change.old, place.key)
        if before is not None and before != after:
            found.changed(before)
            self._tell(Row(place.table, before, None))
        if change.new is not None and after is not None:
            found.changed(after)
            if self._on_row is not None:
                self._tell(Row(place.table, after, dict(zip(place.columns, _filled(change), strict=True))))

    def _tell(self, row: Row) -> None:
        if self._on_row is not None:
            self._on_row(row)

    def _of(self, table: str) -> Explained:
        if table not in self._open:
            shape = self._tables[table].shape
            self._open[table] = Explained(writes_content=len(shape.target_columns) > len(shape.key_index))
        return self._open[table]

    def _commit(self, end: int) -> None:
        for table, found in self._open.items():
            if found.everything or found.foreign():
                self._foreign.setdefault(table, Foreign()).add(found)
        self._open.clear()
        self.is_inside, self.through = False, end


def _places(columns: tuple[str, ...], wanted: Iterable[str]) -> tuple[int, ...] | None:
    """Where the wanted columns are; None where one is missing: the table is not the one that the plan means."""
    at = {name: place for place, name in enumerate(columns)}
    found = [at.get(name) for name in wanted]
    return None if None in found else tuple(place for place in found if place is not None)


def _key(cells: Cells, places: tuple[int, ...]) -> bytes | None:
    """The key's canonical bytes; None where these cells do not have it."""
    key = [cells[place] for place in places]
    if None in key or UNCHANGED in key:
        return None
    return encode([cell.decode() for cell in key if cell is not None])


def _filled(change: Change) -> Cells:
    """The new cells, with what an update left alone taken from the old row where that is there."""
    new, old = change.new, change.old
    assert new is not None
    if old is None or not change.is_whole or UNCHANGED not in new:
        return new
    return [there if cell is UNCHANGED else cell for cell, there in zip(new, old, strict=True)]
