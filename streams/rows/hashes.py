"""Rows hashed where they are: one SQL expression for a row's canonical form, and buckets of keys.

Two Postgres servers give equal hashes exactly where canonical texts are equal, but for collisions of 64 bits.
Postgres's own hashes of records and of most types would not do: they take -0 for 0, 5 for -5, or fold 64 bits into 32
before they hash (docs/decisions/0020-checksums-in-sql.md). Queries made here are for COPY, which takes no parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

from streams.plan.losses import Loss
from streams.plan.mapping import Column, Shape
from streams.plan.types import Kind
from streams.rows.types import canonical_sql, identifier, kind_of

# Buckets of the first look at a table: some tens of rows each in one of a million rows, and a list that is soon sent.
BUCKET_BITS: Final = 14
# No bucket of an integer key is smaller at first: a table that is small is one that is soon read.
SHIFT_MIN: Final = 5
NUMBER_BITS: Final = 64
# What every session does alike: a sort of all rows costs more than the hashes, and so does compiling the query.
SETTINGS: Final = (
    "SET LOCAL enable_sort = off; SET LOCAL jit = off; SET LOCAL work_mem = '64MB'; "
    "SET LOCAL idle_in_transaction_session_timeout = 0"
)
Found = TypeVar("Found")
# Their text is never empty and holds no tab: beside a tab they need no length.
_PLAIN_KINDS: Final = frozenset((Kind.integer, Kind.numeric, Kind.float, Kind.boolean, Kind.bytes, Kind.time))
_INDEXED: Final = frozenset(("int2", "int4", "int8"))
_CAST: Final = {"timestamp": "timestamp", "timestamptz": "timestamptz", "time": "time"}


class Side(NamedTuple):
    """One of the two tables: quoted name, filter, and for each mapped column its canonical expression over `t`.

    key: the key columns' places. key_names: their quoted names, which an index knows.
    """

    table: str
    where: str
    cells: tuple[tuple[str, Column], ...]
    key: tuple[int, ...]
    key_names: tuple[str, ...]


def source_side(shape: Shape, where: str) -> Side:
    """The SOT's: what is rounded or cut on the way is rounded or cut here."""
    cells = tuple((_less(column, shape.loss_of(column)), column) for column in shape.source_columns)
    table = identifier(*shape.table.split(".", 1))
    return Side(table, where, cells, shape.key_index, tuple(identifier("t", name) for name in shape.key_columns))


def replica_side(shape: Shape, table: str) -> Side:
    """The replica's, which holds what is mapped and nothing else; by its own columns' names."""
    pairs = zip(shape.source_columns, shape.target_columns, strict=True)
    renamed = [column._replace(name=name) for column, name in pairs]
    cells = tuple((canonical_sql(column, "t"), column) for column in renamed)
    return Side(table, "TRUE", cells, shape.key_index, tuple(identifier("t", name) for name in shape.target_key))


def _less(column: Column, less: Loss | None) -> str:
    """Canonical text as the mapping has it: losses are defined by these casts."""
    text, name = canonical_sql(column, "t"), identifier("t", column.name)
    if less is None:
        return text
    if less.word == "cut":
        return f'pg_catalog."left"({name}, {less.limit})'
    if column.type == "numeric":
        return f"pg_catalog.trim_scale(pg_catalog.round({name}, {less.limit}))"
    return f"{name}::pg_catalog.{_CAST[column.type]}({less.limit})"


@dataclass(frozen=True, slots=True)
class Asked:
    """A side at one moment. lines: of the answer to a query. stop: end what is asked, from another thread."""

    side: Side
    lines: Callable[[str], Generator[bytes]]
    stop: Callable[[], None]


def asked(side: Asked, query: str, read: Callable[[Iterable[bytes]], Found]) -> Found:
    """What `read` makes of the answer to a query."""
    with closing(side.lines(query)) as lines:
        return read(lines)


class Grid(NamedTuple):
    """How keys fall into buckets: by `number >> shift` of a number that each key has.

    The number is the key itself where it is one integer, so that a bucket is a stretch of an index; else a hash of the
    key's text, so that whoever wants some buckets reads all keys.
    """

    indexed: bool
    shift: int
    seed: int

    @classmethod
    def over(cls, columns: Sequence[Column], seed: int, bounds: tuple[int, int] | None) -> Grid:
        """For a table with this key. bounds: the smallest and the largest key, where it is one integer."""
        if not is_indexed(columns):
            return cls(False, NUMBER_BITS - BUCKET_BITS, seed)
        low, high = bounds or (0, 0)
        return cls(True, max(SHIFT_MIN, ((high - low) >> BUCKET_BITS).bit_length()), seed)

    def finer(self, bits: int) -> Grid:
        """With so many bits more."""
        return self._replace(shift=max(0, self.shift - bits))


def is_indexed(columns: Sequence[Column]) -> bool:
    """Whether a key of these columns is a number by itself."""
    return [column.type in _INDEXED for column in columns] == [True]


def bounds_sql(side: Side) -> str:
    """The smallest and the largest key, where it is one integer."""
    (name,) = side.key_names
    return f"SELECT min({name}), max({name}) FROM {side.table} t"


def sums_sql(side: Side, grid: Grid, within: tuple[Grid, Iterable[int]] | None = None) -> str:
    """Number, rows and sum of the rows' hashes, of every bucket; within: only in these of a coarser grid."""
    return (
        f"SELECT {_number(side, grid)} >> {grid.shift}, count(*), sum({_hash(side, grid.seed)}) "
        f"FROM {_rows(side, within)} GROUP BY 1"
    )


def rows_sql(side: Side, grid: Grid, buckets: Iterable[int]) -> str:
    """The keys' canonical texts and the rows' hashes, of these buckets."""
    keys = ", ".join(side.cells[place][0] for place in side.key)
    return f"SELECT {keys}, {_hash(side, grid.seed)} FROM {_rows(side, (grid, buckets))}"


def sample_sql(side: Side, seed: int, keys: int) -> str:
    """So many keys' canonical texts: those with the smallest hashes under this seed."""
    cells = [side.cells[place] for place in side.key]
    columns = ", ".join(cell for cell, _ in cells)
    return f"SELECT {columns} FROM {_rows(side, None)} ORDER BY {_hashed(cells, seed)} LIMIT {keys}"


def probe_sql(seed: int) -> str:
    """Whether two servers hash alike: one text, its hash, and how both write characters."""
    return (
        "SELECT pg_catalog.hashtextextended('holdtrue €' COLLATE \"C\", "
        f"{seed}), pg_catalog.current_setting('server_encoding')"
    )


def _rows(side: Side, within: tuple[Grid, Iterable[int]] | None) -> str:
    if within is None:
        return f"{side.table} t WHERE {side.where}"
    grid, buckets = within
    numbers = f"'{{{','.join(map(str, buckets))}}}'::int8[]"
    if not grid.indexed:
        return f"{side.table} t WHERE {side.where} AND {_number(side, grid)} >> {grid.shift} = ANY ({numbers})"
    (name,) = side.key_names
    least = f"holdtrue_buckets.n << {grid.shift}"
    # OFFSET 0: each bucket is looked up by itself, whatever the planner thinks of it.
    return (
        f"unnest({numbers}) holdtrue_buckets(n) CROSS JOIN LATERAL (SELECT * FROM {side.table} t WHERE {side.where} "
        f"AND {name} >= {least} AND {name} <= ({least} | {(1 << grid.shift) - 1}) OFFSET 0) t"
    )


def _number(side: Side, grid: Grid) -> str:
    if grid.indexed:
        return f"{side.key_names[0]}::int8"
    return _hashed([side.cells[place] for place in side.key], grid.seed)


def _hash(side: Side, seed: int) -> str:
    return _hashed(side.cells, seed)


def _hashed(cells: Sequence[tuple[str, Column]], seed: int) -> str:
    """A hash of these columns' canonical texts, put together so that no two rows give one text.

    concat_ws prints each value as COPY does and leaves NULLs out: the first part says where they are. What may hold the
    separator has its length before it. The collation is one that every server has, and that compares bytes.
    """
    # What is trimmed, rounded or cut is NULL exactly where the column is.
    names = [identifier("t", column.name) for _, column in cells]
    nulls = ", ".join(f"pg_catalog.num_nulls({name})" for name in names)
    # As `IS NULL`, but of a row value, too; a fifth of the time goes by where a function is called to ask it.
    has_null = " OR ".join(f"{name} IS NOT DISTINCT FROM NULL" for name in names)
    where_null = f"CASE WHEN {has_null} THEN pg_catalog.concat({nulls}) ELSE '' END"
    parts = [part for sql, column in cells for part in _parts(sql, column)]
    return (
        f"pg_catalog.hashtextextended(pg_catalog.concat_ws(E'\\t', {where_null}, {', '.join(parts)}) "
        f'COLLATE "C", {seed})'
    )


def _parts(sql: str, column: Column) -> Sequence[str]:
    if kind_of(column.type) in _PLAIN_KINDS:
        return (sql,)
    if column.type in ("text", "varchar"):
        return (f"pg_catalog.octet_length({sql})", sql)
    # The cast to text of some types is not what they print.
    return (f"pg_catalog.octet_length(pg_catalog.concat({sql}))", sql)
