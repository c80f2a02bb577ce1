"""Reads of SOT rows at a known snapshot: for what the log's order cannot decide, for repairs, for checks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import NamedTuple

import psycopg

from streams.changes.visibility import Snapshot
from streams.checks.request import RUN_SECONDS_MAX
from streams.plan.mapping import COLUMN_GONE, TABLE_GONE, TYPE_CHANGED, Shape
from streams.rows.canonical import ESCAPES, Row, decode, encode
from streams.rows.hashes import SETTINGS, Asked, source_side
from streams.rows.types import canonical_sql, identifier, key_array_sql, literal
from streams.sot.catalog import connected, read_tables
from streams.sot.connection import SotChanged, connect, unavailable

# Rows that are looked at to see where a table can be cut.
SAMPLE_ROWS = 10_000
# Values of the first key columns, in canonical bytes, between which rows lie, both included; b"" for no bound.
Between = tuple[bytes, bytes]
EVERYWHERE: Between = (b"", b"")


class SotRead(NamedTuple):
    """Rows as one snapshot shows them; a key that is not in `rows` has no row that belongs in this replica."""

    snapshot: Snapshot
    rows: dict[bytes, Row]


class SotRow(NamedTuple):
    """One row of a scan: its key's canonical bytes, and the mapped row's."""

    key: bytes
    line: bytes


@dataclass(frozen=True, slots=True)
class Hashing:
    """The table at one snapshot. read: the rows of these keys, as SotReader.read gives them."""

    asked: Asked
    read: Callable[[Sequence[bytes]], SotRead]


class _Unfit(SotChanged):
    """A text is no value of its column's type."""


class SotReader:
    """Reads one table in one replica's shape. For one thread at a time; reconnects by itself after a failure."""

    def __init__(self, dsn: str, shape: Shape, *, application: str) -> None:
        self._dsn = dsn
        self._shape = shape
        self._application = application
        self._connection: psycopg.Connection[tuple[object, ...]] | None = None
        # Name → type, length and scale of the mapped columns, as the catalog had them when this reader first looked.
        self._columns: dict[str, str] | None = None

    def read(self, keys: Sequence[bytes]) -> SotRead:
        """The rows of these keys, and the snapshot that shows them. Raises SotUnavailable and SotChanged."""
        try:
            return self._read(keys)
        except _Unfit:
            known = self._known(keys)
            if len(known) == len(keys):
                raise
        return self._read(known)

    def _known(self, keys: Sequence[bytes]) -> list[bytes]:
        """Those keys whose texts their types take. The others name no row: a label that an enum had, a foreign key."""
        try:
            with self._transaction() as cursor:
                cursor.execute(f"SELECT FROM {self._listed(keys)}".encode())
        except _Unfit:
            half = len(keys) // 2
            return [*self._known(keys[:half]), *self._known(keys[half:])] if half else []
        return list(keys)

    def _read(self, keys: Sequence[bytes]) -> SotRead:
        with self._transaction() as cursor:
            snapshot = self._snapshot(cursor)
            return SotRead(snapshot, self._rows_of(cursor, keys))

    def _rows_of(self, cursor: psycopg.Cursor[tuple[object, ...]], keys: Sequence[bytes]) -> dict[bytes, Row]:
        rows = {}
        with closing(_copy(cursor, self._select(self._keys_clause(keys)))) as lines:
            for line in lines:
                row = decode(line)
                if self._shape.keeps(row):
                    rows[encode(self._shape.key_of(row))] = self._shape.stored(row)
        return rows

    def keys_after(self, after: bytes | None, limit: int, between: Between = EVERYWHERE) -> list[bytes]:
        """The next keys of rows that belong in this replica, in the order of the table's own index; [] at its end.

        after: the last one that was given; None for the first ones.
        """
        names = ", ".join(identifier("t", name) for name in self._shape.key_columns)
        behind = "" if after is None else f" AND ({names}) > ({self._values(after)})"
        clause = f" WHERE ({self._where()}){behind}{self._between(between)} ORDER BY {names} LIMIT {limit}"
        columns = ", ".join(canonical_sql(self._shape.read_columns[index], "t") for index in self._shape.key_index)
        query = f"SELECT {columns} FROM {self._table()} t{clause}"
        with self._transaction() as cursor, closing(_copy(cursor, query)) as lines:
            return list(lines)

    def _values(self, key: bytes) -> str:
        """A key's values, one subquery each: so an index is entered at them."""
        listed = self._listed([key])
        return ", ".join(f"(SELECT k{index} FROM {listed})" for index in range(len(self._shape.key_columns)))

    def within(self, keys: Sequence[bytes], between: Between) -> list[bytes]:
        """Those of these keys that lie between the bounds, as Postgres orders them; not those that no row can have."""
        if between == EVERYWHERE or not keys:
            return list(keys)
        try:
            return self._within(keys, between)
        except _Unfit:
            return self._within(self._known(keys), between)

    def _within(self, keys: Sequence[bytes], between: Between) -> list[bytes]:
        # Beside the table's own columns, so that theirs is the collation that compares.
        own = ", ".join(identifier("t", name) for name in self._shape.key_columns)
        ours = ", ".join(f"k{index}" for index in range(len(self._shape.key_columns)))
        listed = f"{self._arrays(keys)} WITH ORDINALITY AS k({ours}, n)"
        given = f"SELECT {own}, 0 AS n FROM {self._table()} t WHERE false UNION ALL SELECT {ours}, n FROM {listed}"
        query = f"SELECT n FROM ({given}) t WHERE true{self._between(between)}"
        with self._transaction() as cursor, closing(_copy(cursor, query)) as lines:
            return [keys[int(line) - 1] for line in lines]

    def _between(self, between: Between) -> str:
        return "".join(self._bound(sign, bound) for sign, bound in zip((">=", "<="), between, strict=True) if bound)

    def _bound(self, sign: str, bound: bytes) -> str:
        """On the first key columns, as many as the bound has values."""
        columns = [self._shape.read_columns[index] for index in self._shape.key_index]
        pairs = list(zip(columns, decode(bound), strict=False))
        names = ", ".join(identifier("t", column.name) for column, _ in pairs)
        values = ", ".join(f"({key_array_sql(column, [text])})[1]" for column, text in pairs)
        return f" AND ROW({names}) {sign} ROW({values})"

    def snapshot(self) -> Snapshot:
        """What a read would see now."""
        with self._transaction(locked=False) as cursor:
            return self._snapshot(cursor)

    @contextmanager
    def scanning(self, after: bytes = b"", upto: bytes | None = None) -> Iterator[Iterator[SotRow]]:
        """Every row that belongs in this replica, in the order of the keys' canonical bytes.

        after: only those whose keys come behind it; upto: and not behind this one. The snapshot is taken on entry; the
        rows are fetched as they are asked for. Postgres sorts, so nothing of the table is held here. The order lets
        owners tell, for every stretch of keys, which of theirs the SOT lacks.
        """
        # The same bytes `encode` gives for the key, compared as bytes.
        key = " || E'\\t' || ".join(_escaped(identifier("t", name)) for name in self._shape.key_columns)
        key = f'({key}) COLLATE "C"'
        within = f" AND {key} > {literal(after.decode())}" if after else ""
        within += f" AND {key} <= {literal(upto.decode())}" if upto is not None else ""
        clause = f" WHERE ({self._where()}){within} ORDER BY {key}"
        with self._transaction() as cursor:
            _take_your_time(cursor)
            self._snapshot(cursor)
            with closing(_copy(cursor, self._select(clause))) as lines:
                yield self._rows(lines)

    def bounds(self, rows: int, parts_max: int) -> list[bytes]:
        """Keys that cut the table into stretches of about so many rows, in the order of `scanning`; [] for one stretch.

        By some pages of the table: stretches are uneven, and no key is in two of them.
        """
        there = self.estimate() or self.count()
        rows = max(rows, there // parts_max)
        if there <= rows:
            return []
        columns = ", ".join(canonical_sql(self._shape.read_columns[index], "t") for index in self._shape.key_index)
        share = min(100.0, 100.0 * SAMPLE_ROWS / there)
        query = f"SELECT {columns} FROM {self._table()} t TABLESAMPLE SYSTEM ({share:.6f})"
        with self._transaction() as cursor, closing(_copy(cursor, query)) as lines:
            some = sorted(lines)
        step = max(1, round(len(some) * rows / there))
        return some[step::step]

    def _rows(self, lines: Iterator[bytes]) -> Iterator[SotRow]:
        shape = self._shape
        as_read = shape.is_stored_as_read
        for line in lines:
            row = decode(line)
            yield SotRow(encode(shape.key_of(row)), line if as_read else encode(shape.stored(row)))

    @contextmanager
    def hashing(self) -> Iterator[Hashing]:
        """The table as one snapshot shows it, taken on entry: hashed where it is, and read by key."""
        with self._transaction() as cursor:
            _take_your_time(cursor)
            cursor.execute(SETTINGS.encode())
            snapshot = self._snapshot(cursor)
            asked = Asked(
                source_side(self._shape, self._where()),
                lambda query: _copy(cursor, query),
                cursor.connection.cancel_safe,
            )
            yield Hashing(asked, lambda keys: SotRead(snapshot, self._rows_of(cursor, keys)))

    def count(self, between: Between = EVERYWHERE) -> int:
        """How many rows belong in this replica."""
        query = f"SELECT count(*) FROM {self._table()} t WHERE ({self._where()}){self._between(between)}".encode()
        with self._transaction() as cursor:
            _take_your_time(cursor)
            row = cursor.execute(query).fetchone()
            assert row is not None
            return int(str(row[0]))

    def estimate(self) -> int:
        """About how many rows the table has, by what the planner knows; 0 where it knows nothing."""
        query = f"SELECT greatest(reltuples, 0)::int8 FROM pg_class WHERE oid = to_regclass({literal(self._table())})"
        with self._transaction(locked=False) as cursor:
            row = cursor.execute(query.encode()).fetchone()
            return int(str(row[0])) if row is not None else 0

    def fits(self) -> bool:
        """Whether the table's columns have the types of the shape, which they had when it was made."""
        with connected(self._dsn, "the source of truth") as connection:
            found = read_tables(connection, [self._shape.table]).get(self._shape.table)
        types = {column.name: column.type for column in found.mapped_columns} if found else {}
        return all(types.get(column.name) == column.type for column in self._shape.read_columns)

    def close(self) -> None:
        """Give back the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _transaction(self, *, locked: bool = True) -> Iterator[psycopg.Cursor[tuple[object, ...]]]:
        """One snapshot, taken at the first query of its user.

        locked: no TRUNCATE of the table can commit before its end. One that did so after the snapshot was taken, and
        before the table was read, would show an old snapshot an empty table (Postgres' TRUNCATE is not MVCC-safe).
        """
        begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        lock = f"; LOCK TABLE {self._table()} IN ACCESS SHARE MODE" if locked else ""
        try:
            if self._connection is None or self._connection.closed:
                self._connection = connect(self._dsn, application=self._application)
            with self._connection.cursor() as cursor:
                try:
                    cursor.execute(f"{begin}{lock}".encode())
                    yield cursor
                finally:
                    if not self._connection.closed:
                        # What happened inside must not be hidden by a session that the server has ended since.
                        with suppress(psycopg.Error):
                            cursor.execute("ROLLBACK")
        except (psycopg.OperationalError, psycopg.errors.IdleInTransactionSessionTimeout) as error:
            self.close()
            raise unavailable(self._dsn, error) from None
        except (psycopg.ProgrammingError, psycopg.DataError) as error:
            raise (_Unfit if isinstance(error, psycopg.DataError) else SotChanged)(
                f"{self._shape.table} cannot be read in the source of truth as the plan has it: "
                f"{type(error).__name__} (SQLSTATE {error.sqlstate}).",
                "Was a column or the table dropped, renamed or given another type, or a right withdrawn? "
                "Run `holdtrue plan check --live`.",
            ) from None

    def _snapshot(self, cursor: psycopg.Cursor[tuple[object, ...]]) -> Snapshot:
        """The transaction's snapshot. Raises SotChanged when a mapped column is not what it was at the first one.

        The shape is of a moment before that: that it had these types is looked up once.
        """
        # The position after the snapshot: whatever the snapshot shows is before it in the log.
        query = f"SELECT pg_current_snapshot()::text, pg_current_wal_insert_lsn() - '0/0', ({self._described()})"
        row = cursor.execute(query.encode()).fetchone()
        assert row is not None
        columns = json.loads(str(row[2] or "{}"))
        if self._columns is None and not self.fits():
            raise _changed(self._shape.table, dict.fromkeys(each.name for each in self._shape.read_columns), columns)
        self._columns = self._columns or columns
        if columns != self._columns:
            raise _changed(self._shape.table, self._columns, columns)
        return Snapshot.parse(str(row[0]), int(str(row[1])))

    def _described(self) -> str:
        # By name: a source that is restored elsewhere gives its own types other numbers.
        names = ", ".join(literal(column.name) for column in self._shape.read_columns)
        return (
            "SELECT json_object_agg(attname, format_type(atttypid, atttypmod))::text FROM pg_attribute "
            f"WHERE attrelid = to_regclass({literal(self._table())}) AND attname IN ({names})"
        )

    def _select(self, clause: str) -> str:
        columns = ", ".join(canonical_sql(column, "t") for column in self._shape.read_columns)
        return f"SELECT {columns} FROM {self._table()} t{clause}"

    def _keys_clause(self, keys: Sequence[bytes]) -> str:
        names = enumerate(self._shape.key_columns)
        match = " AND ".join(f"{identifier('t', name)} = k.k{index}" for index, name in names)
        return f" JOIN {self._listed(keys)} ON {match}"

    def _listed(self, keys: Sequence[bytes]) -> str:
        """The keys as a table `k` with columns k0, k1, …"""
        names = ", ".join(f"k{index}" for index in range(len(self._shape.key_columns)))
        return f"{self._arrays(keys)} AS k({names})"

    def _arrays(self, keys: Sequence[bytes]) -> str:
        columns = [self._shape.read_columns[index] for index in self._shape.key_index]
        texts = [*zip(*(decode(key) for key in keys), strict=True)] or [()] * len(columns)
        arrays = ", ".join(key_array_sql(column, values) for column, values in zip(columns, texts, strict=True))
        return f"unnest({arrays})"

    def _table(self) -> str:
        return identifier(*self._shape.table.split(".", 1))

    def _where(self) -> str:
        """The filter with its values in it: COPY takes no parameters."""
        where, values = self._shape.where_sql()
        texts = iter(values)
        return re.sub("%s", lambda _: literal(next(texts)), where)


def _copy(cursor: psycopg.Cursor[tuple[object, ...]], query: str) -> Generator[bytes]:
    """The lines of a COPY, each a row's canonical bytes; libpq hands them over one by one.

    Close it where it may not be read to its end: whatever the session is asked next would wait for that.
    """
    with cursor.copy(f"COPY ({query}) TO STDOUT".encode()) as copy:
        for block in copy:
            yield bytes(block).removesuffix(b"\n")


def _take_your_time(cursor: psycopg.Cursor[tuple[object, ...]]) -> None:
    """A whole table takes as long as it is large."""
    cursor.execute(f"SET LOCAL statement_timeout = '{RUN_SECONDS_MAX}s'".encode())


def _changed(table: str, wanted: Mapping[str, str | None], columns: Mapping[str, str]) -> SotChanged:
    """wanted: name → type that it had; None where that is not known."""
    gone = [name for name in wanted if name not in columns]
    if wanted and not columns:
        what = f"There is no table {table} in the source any more, or it has none of the mapped columns."
        return SotChanged(what, TABLE_GONE)
    if gone:
        what = f"The source has no column {gone[0]} of {table} any more, which the mapping needs."
        return SotChanged(what, COLUMN_GONE)
    other = [name for name, had in wanted.items() if had not in (None, columns[name])]
    which = f"Column {other[0]}" if other else "A mapped column"
    return SotChanged(f"{which} of {table} was given another type, length or scale at the source.", TYPE_CHANGED)


def _escaped(column: str) -> str:
    """A key column's text as COPY escapes it."""
    text = f"{column}::text"
    for char, escape in ESCAPES.items():
        text = f"replace({text}, {literal(char)}, {literal(escape)})"
    return text
