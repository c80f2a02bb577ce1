"""What one mapping does to the rows of one table, decided from the plan and the table's columns. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from operator import itemgetter
from typing import Final, NamedTuple, Self

from streams.errors import UsageError
from streams.plan.filter import Term, compiled
from streams.plan.losses import Loss, Word, loss
from streams.plan.tables import Layout
from streams.plan.text import listed, quoted

Row = tuple[str | None, ...]
Key = tuple[str, ...]


# What to do about a mapped column that is not what it was: whoever notices it first says so.
COLUMN_GONE = (
    "A replica whose columns change begins anew under another name in the plan (docs/operations.md, A column that is "
    "dropped)."
)
TABLE_GONE = (
    "Was it renamed, or dropped? Name it as before, or take it out of the plan, and restart the worker "
    "(docs/operations.md, A table that is renamed)."
)
TYPE_CHANGED = (
    "Give a Postgres replica's column the new type, restart the worker, then validate the table and repair what it "
    "finds (docs/operations.md, A column whose type is changed)."
)


_DOES: Final[Mapping[Word, str]] = {"round": "rounds", "cut": "cuts"}


class MappingError(UsageError):
    """A mapping of the plan does not fit the table it maps."""


class Column(NamedTuple):
    """A column of a table: name, Postgres type name (`int4`, `bpchar`, `numeric`, an enum's own name), nullable.

    modifier: its length, precision or scale as Postgres writes it down (`atttypmod`); -1 for none.
    """

    name: str
    type: str
    nullable: bool = True
    modifier: int = -1


class Problem(NamedTuple):
    """Why a mapping cannot be used: the place below the mapping in the plan, and a sentence."""

    path: tuple[str | int, ...]
    message: str


@dataclass(frozen=True, slots=True)
class Shape:
    """One table in one replica: which columns, under which names, which rows.

    Rows given to a shape are tuples of canonical text over `read_columns`: the columns the replica keeps, in the
    table's order, followed by those only the filter looks at. `stored(row)` is what the replica gets of it: the kept
    columns, less `losses`, each with the place of its column. `asked` are columns whose values are never taken from a
    record.
    """

    table: str
    source_columns: tuple[Column, ...]
    target_columns: tuple[str, ...]
    read_columns: tuple[Column, ...]
    key_columns: tuple[str, ...]
    key_index: tuple[int, ...]
    terms: tuple[tuple[int, Term], ...]
    mapping_version: str
    asked: frozenset[str] = frozenset()
    losses: tuple[tuple[int, Loss], ...] = ()

    @classmethod
    def build(cls, table: str, key: Sequence[str], columns: Sequence[Column], mapping: Layout) -> Self:
        """The shape of `table` under `mapping`, given all its columns in order. Raises MappingError."""
        problems = shape_problems(key, columns, mapping)
        if problems:
            raise MappingError(
                f"The mapping of {table} does not fit: {problems[0].message}.", "Run `plan check --live`."
            )
        kept = tuple(column for column in columns if column.name not in mapping.columns.omit)
        read = (*kept, *_filter_only(columns, kept, mapping))
        place = {column.name: index for index, column in enumerate(read)}
        terms = tuple((place[c.column], compiled(c, read[place[c.column]].type)) for c in mapping.where)
        names = tuple(mapping.columns.rename.get(column.name, column.name) for column in kept)
        index = tuple(place[name] for name in key)
        lossy = [(place[name], word, limit) for word, name, limit in _lossy(mapping)]
        losses = tuple((at, loss(word, limit, read[at].type)) for at, word, limit in lossy)
        version = _version(table, key, kept, names, terms, losses)
        asked = frozenset(mapping.columns.ask)
        return cls(table, kept, names, read, tuple(key), index, terms, version, asked, losses)

    @classmethod
    def of_key(cls, table: str, key: Sequence[str]) -> Self:
        """Of a table whose columns are not known: it names its rows. Nothing may be read or written by it."""
        columns = tuple(Column(name, "text", nullable=False) for name in key)
        return cls(table, columns, tuple(key), columns, tuple(key), tuple(range(len(key))), (), "unknown")

    @property
    def where_on_key_only(self) -> bool:
        """Whether the key alone decides if a row is kept, so that a delete needs no other column."""
        return all(index in self.key_index for index, _ in self.terms)

    @property
    def target_key(self) -> tuple[str, ...]:
        """The key columns' names in the replica, in key order."""
        return tuple(self.target_columns[index] for index in self.key_index)

    def keeps(self, row: Row) -> bool:
        """Whether the replica holds this row: every comparison is true, as in an SQL WHERE (NULL is not true)."""
        return all(term.test(row[index]) for index, term in self.terms)

    def keeps_key(self, key: Key) -> bool:
        """`keeps`, from the key alone; only where `where_on_key_only`."""
        assert self.where_on_key_only
        return all(term.test(key[self.key_index.index(index)]) for index, term in self.terms)

    def key_of(self, row: Row) -> Row:
        """The row's key, in the order of `key_columns`."""
        return tuple(row[index] for index in self.key_index)

    @property
    def is_stored_as_read(self) -> bool:
        """Whether the replica holds rows as they are read, nothing less."""
        return not self.losses and len(self.source_columns) == len(self.read_columns)

    def stored(self, row: Row) -> Row:
        """What the replica holds of a row, in the order of `source_columns`."""
        kept = row[: len(self.source_columns)]
        return self._less(kept) if self.losses else kept

    def _less(self, row: Row) -> Row:
        stored = list(row)
        for place, less in self.losses:
            text = stored[place]
            stored[place] = None if text is None else less.of(text)
        return tuple(stored)

    def stored_columns(self, columns: Sequence[Sequence[str | None]]) -> Sequence[Sequence[str | None]]:
        """`stored`, of many rows given by their `source_columns`."""
        if not self.losses:
            return columns
        stored = list(columns)
        for place, less in self.losses:
            stored[place] = [None if text is None else less.of(text) for text in stored[place]]
        return stored

    def loss_of(self, column: Column) -> Loss | None:
        """What a kept column's values lose on the way."""
        return dict(self.losses).get(self.source_columns.index(column))

    def projector(self, names: Sequence[str]) -> Callable[[Sequence[str | None]], Row]:
        """How to bring rows whose columns are `names` (any order, more allowed) into the order of `read_columns`."""
        place = [list(names).index(column.name) for column in self.read_columns]
        if len(place) == 1:
            only = place[0]
            return lambda row: (row[only],)
        return itemgetter(*place)

    def where_sql(self) -> tuple[str, tuple[str, ...]]:
        """The filter for a Postgres WHERE, with `%s` placeholders and their values; `TRUE` without a filter."""
        sql = " AND ".join(f"({term.sql})" for _, term in self.terms) or "TRUE"
        return sql, tuple(value for _, term in self.terms for value in term.params)


def mapping_conflicts(key: Sequence[str], mapping: Layout) -> Iterator[Problem]:
    """What is contradictory in a mapping whatever columns the table has."""
    rename, omit = mapping.columns.rename, mapping.columns.omit
    for index, column in enumerate(omit):
        if column in key:
            yield Problem(("columns", "omit", index), f"leaves out the key column {quoted(column)}")
    for index, column in enumerate(mapping.columns.ask):
        if column in key:
            yield Problem(("columns", "ask", index), f"asks for the key column {quoted(column)}, which is asked by")
        elif column in omit and column not in {condition.column for condition in mapping.where}:
            yield Problem(("columns", "ask", index), f"asks for {quoted(column)}, which is left out")
    yield from _loss_conflicts(key, mapping)
    for column in sorted(set(omit) & set(rename)):
        yield Problem(("columns", "rename", column), f"renames {quoted(column)}, which is also left out")
    for new in sorted({new for new in rename.values() if list(rename.values()).count(new) > 1}):
        olds = listed(quoted(old) for old in rename if rename[old] == new)
        yield Problem(("columns", "rename"), f"gives {olds} the same name {quoted(new)}")
    for column in key:
        taken = [old for old, new in rename.items() if new == column and old != column]
        if column not in rename and taken:
            yield Problem(("columns", "rename", taken[0]), f"takes the name of the key column {quoted(column)}")


def _loss_conflicts(key: Sequence[str], mapping: Layout) -> Iterator[Problem]:
    for word, column, _ in _lossy(mapping):
        path, does = ("columns", word, column), f"{_DOES[word]} {quoted(column)}"
        if column in key:
            yield Problem(path, f"{does}, a key column: two rows could become one")
        elif column in mapping.columns.omit:
            yield Problem(path, f"{does}, which is left out")
        elif word == "cut" and column in mapping.columns.round:
            yield Problem(path, f"{does}, which is also rounded")


def _lossy(mapping: Layout) -> Iterator[tuple[Word, str, int]]:
    """Which columns lose something, and how much is kept."""
    words: Mapping[Word, Mapping[str, int]] = {"round": mapping.columns.round, "cut": mapping.columns.cut}
    return ((word, column, limit) for word, columns in words.items() for column, limit in columns.items())


def shape_problems(key: Sequence[str], columns: Sequence[Column], mapping: Layout) -> list[Problem]:
    """Everything that keeps `mapping` from fitting a table with these columns."""
    types = {column.name: column.type for column in columns}
    found = [*mapping_conflicts(key, mapping), *_unknown(key, types, mapping)]
    for index, condition in enumerate(mapping.where):
        if condition.column in types:
            try:
                compiled(condition, types[condition.column])
            except ValueError as error:
                found.append(Problem(("where", index), str(error)))
    return [*found, *_unfit_losses(types, mapping)] or list(_target_collisions(columns, mapping))


def _unfit_losses(types: Mapping[str, str], mapping: Layout) -> Iterator[Problem]:
    for word, column, limit in (each for each in _lossy(mapping) if each[1] in types):
        try:
            loss(word, limit, types[column])
        except ValueError as error:
            message = f"{_DOES[word]} {quoted(column)}, of type {types[column]}: {error}"
            yield Problem(("columns", word, column), message)


def _unknown(key: Sequence[str], types: dict[str, str], mapping: Layout) -> Iterator[Problem]:
    named: list[tuple[tuple[str | int, ...], str]] = []
    named += [(("columns", "rename", column), column) for column in mapping.columns.rename]
    named += [(("columns", "omit", index), column) for index, column in enumerate(mapping.columns.omit)]
    named += [(("columns", "ask", index), column) for index, column in enumerate(mapping.columns.ask)]
    named += [(("columns", word, column), column) for word, column, _ in _lossy(mapping)]
    named += [(("where", index, "column"), item.column) for index, item in enumerate(mapping.where)]
    named += [((), column) for column in key]
    for path, column in named:
        if column not in types:
            yield Problem(path, f"names the column {quoted(column)}, which the table does not have")


def _target_collisions(columns: Sequence[Column], mapping: Layout) -> Iterator[Problem]:
    rename, omit = mapping.columns.rename, mapping.columns.omit
    kept = {column.name for column in columns if column.name not in omit}
    for old, new in rename.items():
        if new in kept and new not in rename:
            yield Problem(("columns", "rename", old), f"takes the name of the column {quoted(new)}, which is kept too")


def _filter_only(columns: Sequence[Column], kept: Sequence[Column], mapping: Layout) -> Iterator[Column]:
    wanted = {condition.column for condition in mapping.where} - {column.name for column in kept}
    return (column for column in columns if column.name in wanted)


def _version(
    table: str, key: Sequence[str], kept: Sequence[Column], names: Sequence[str], terms: Sequence[tuple[int, Term]],
    losses: Sequence[tuple[int, Loss]],
) -> str:  # fmt: skip
    """A short hash of what the mapping does. Types are not in it: a value's canonical text does not depend on them."""
    columns = [[column.name, name] for column, name in zip(kept, names, strict=True)]
    where = sorted([term.column, term.meaning] for _, term in terms)
    lossy = sorted([kept[place].name, less.word, less.limit] for place, less in losses)
    # Without losses it is what it was before there were any: the version of replicas that are filled.
    text = json.dumps([1, table, list(key), columns, where, *([lossy] if lossy else [])], ensure_ascii=False)
    return blake2b(text.encode(), digest_size=6).hexdigest()
