"""Every statement a Postgres replica runs for one table, made once from its shape (ADR 0002 says why these).

Statements are run with parameters, if only with none, so that `%` in a column's name is written twice; psycopg takes a
COPY without parameters as it is, so those are made by `_bare`.

The batch table holds what one transaction is about: n (place in the batch), token, live, c0, c1, … (the columns).
The version table holds one row per key, live or dead: the key columns, token, dead_since (null: live).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import LiteralString

from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

from streams.plan.mapping import Shape
from streams.plan.types import stored
from streams.rows.types import canonical_sql, identifier

NAME_BYTES_MAX = 63
# Room on each page so that a key's next version row stays on it and no index is touched (heap-only update).
VERSION_FILLFACTOR = 70
TARGET_FILLFACTOR = 85


class Statements:
    """The statements of one table. Columns of the target are `t`'s, of the version table `v`'s, of the batch `b`'s.

    watched: reads are made as if the version table, which there may not be, were empty.
    """

    def __init__(self, shape: Shape, target: str, token_schema: str, *, watched: bool = False) -> None:
        schema, _, name = target.rpartition(".")
        self.schema, self.name = schema or "public", name
        self.token_schema, self.version_name = token_schema, version_name(target)
        self.batch_name = f"holdtrue_{_short(f'{target} {shape.target_columns}')}"
        self._shape = shape
        self._target = _name(self.schema, self.name)
        self._versions = _name(token_schema, self.version_name)
        self._batch = _name(self.batch_name)
        self._keys = shape.target_key
        self.token_column = _free("token", self._keys)
        self.dead_column = _free("dead_since", self._keys)
        self._known = self._no_versions() if watched else self._versions
        self._make()

    def _make(self) -> None:
        self.make_batch = self._sql(
            "CREATE TEMP TABLE {batch} ON COMMIT DELETE ROWS AS "
            "SELECT 0::int4 AS n, ''::bytea AS token, true AS live, {target_as_batch} FROM {target} t WITH NO DATA"
        )
        self.copy_writes = self._bare("COPY {batch} FROM STDIN")
        self.copy_keys = self._bare("COPY {batch} (n, {key_cells}) FROM STDIN")
        # The version row decides, and holds the key's lock until the end; what comes back are the writes that lost.
        self.take = self._sql(
            "WITH won AS (INSERT INTO {versions} AS v ({keys}, {token}, {dead}) "
            "SELECT {key_cells}, token, CASE WHEN live THEN NULL ELSE now() END FROM {batch} ORDER BY n "
            "ON CONFLICT ({keys}) DO UPDATE SET {token} = excluded.{token}, {dead} = excluded.{dead} "
            "WHERE v.{token} < excluded.{token} RETURNING {v_keys}) "
            "SELECT b.n FROM {batch} b WHERE NOT EXISTS (SELECT FROM won v WHERE {b_is_v})"
        )
        self.take_expected = self._sql(
            "UPDATE {versions} v SET {token} = b.token, {dead} = CASE WHEN b.live THEN NULL ELSE now() END "
            "FROM {batch} b WHERE {b_is_v} AND v.{token} = %s"
        )
        self.take_absent = self._sql(
            "INSERT INTO {versions} ({keys}, {token}, {dead}) "
            "SELECT {key_cells}, token, CASE WHEN live THEN NULL ELSE now() END FROM {batch} ON CONFLICT DO NOTHING"
        )
        self.drop_lost = self._sql("DELETE FROM {batch} WHERE n = ANY(%s)")
        self.upsert = self._sql(
            "INSERT INTO {target} ({columns}) OVERRIDING SYSTEM VALUE "
            "SELECT {cells} FROM {batch} WHERE live ORDER BY n ON CONFLICT ({keys}) DO {update}"
        )
        self.delete = self._sql("DELETE FROM {target} t USING {batch} b WHERE {b_is_t} AND NOT b.live")
        self._make_reads()

    def _make_reads(self) -> None:
        held = (
            "SELECT b.n, v.{token}, t.{first_key} IS NOT NULL, {content} FROM {batch} b "
            "LEFT JOIN {known} v ON {b_is_v} LEFT JOIN {target} t ON {b_is_t} "
            "WHERE (v.{token} IS NOT NULL OR t.{first_key} IS NOT NULL)"
        )
        self.copy_held = self._bare("COPY (", held, ") TO STDOUT")
        self.copy_held_of = self._sql("COPY (", held, " AND b.n = ANY(%s)) TO STDOUT")
        # The inner limit comes first, and v's bound is spelled out, so that no join walks v from its beginning.
        inner = "COPY (SELECT v.{token}, {content} FROM (SELECT * FROM {target} t "
        outer = "ORDER BY {t_keys} LIMIT %s) t LEFT JOIN {known} v ON {v_is_t} "
        self.scan_first = self._sql(inner, outer, "ORDER BY {t_keys}) TO STDOUT")
        self.scan_next = self._sql(
            inner,
            "WHERE ({t_keys}) > ({marks}) ",
            outer,
            "AND ({v_keys}) > ({marks}) ORDER BY {t_keys}) TO STDOUT",
        )
        self.list_keys = self._bare("COPY (SELECT {key_content} FROM {target} t) TO STDOUT")
        self.list_content = self._bare("COPY (SELECT {content} FROM {target} t) TO STDOUT")
        self.count = self._sql("SELECT count(*) FROM {target}")
        self.find_versions = self._sql("SELECT to_regclass({versions_name})")
        self.count_versions = self._sql("SELECT count(*) FROM {versions}")
        self.drop_versions = self._sql("DROP TABLE {versions}")
        self.forget = self._sql(
            "DELETE FROM {versions} v USING (SELECT {v_keys} FROM {versions} v WHERE v.{dead} < now() - %s "
            "ORDER BY v.{dead} LIMIT %s FOR UPDATE SKIP LOCKED) t WHERE {v_is_t}"
        )

    def creations(self) -> Iterable[Composed]:
        """What `prepare` runs for a target that is missing."""
        yield self._sql("CREATE SCHEMA IF NOT EXISTS {schema}")
        yield self._sql(
            "CREATE TABLE {target} ({definitions}, PRIMARY KEY ({keys})) WITH (fillfactor = {target_fillfactor})"
        )

    def version_creations(self) -> Iterable[Composed]:
        """What `prepare` runs for a version table that is missing; key columns are the target's, to the collation."""
        yield self._sql("CREATE SCHEMA IF NOT EXISTS {token_schema}")
        yield self._sql(
            "CREATE TABLE {versions} WITH (fillfactor = {version_fillfactor}) AS "
            "SELECT {t_keys}, ''::bytea AS {token}, NULL::timestamptz AS {dead} FROM {target} t WITH NO DATA"
        )
        yield self._sql("ALTER TABLE {versions} ADD PRIMARY KEY ({keys}), ALTER {token} SET NOT NULL")
        yield self._sql("ALTER TABLE {versions} ADD CHECK (octet_length({token}) = 16)")
        yield self._sql("CREATE INDEX ON {versions} ({dead}) WHERE {dead} IS NOT NULL")

    def _sql(self, *parts: LiteralString) -> Composed:
        return SQL("").join([SQL(part).format(**self._names()) for part in parts])

    def _bare(self, *parts: LiteralString) -> bytes:
        return self._sql(*parts).as_bytes(None).replace(b"%%", b"%")

    def _names(self) -> dict[str, Composable]:
        shape, keys = self._shape, self._keys
        cells = [f"c{index}" for index in range(len(shape.target_columns))]
        key_cells = [cells[index] for index in shape.key_index]
        return {
            "schema": _name(self.schema),
            "token_schema": _name(self.token_schema),
            "target": self._target,
            "versions": self._versions,
            "known": self._known,
            "versions_name": Literal(self._versions.as_string(None)),
            "batch": self._batch,
            "token": _name(self.token_column),
            "dead": _name(self.dead_column),
            "first_key": _name(keys[0]),
            "keys": _listed(keys),
            "t_keys": _listed(keys, "t"),
            "v_keys": _listed(keys, "v"),
            "columns": _listed(shape.target_columns),
            "cells": _listed(cells),
            "key_cells": _listed(key_cells),
            "marks": SQL(", ").join([SQL("%s")] * len(keys)),
            "b_is_v": _equal("b", key_cells, "v", keys),
            "b_is_t": _equal("b", key_cells, "t", keys),
            "v_is_t": _equal("v", keys, "t", keys),
            "target_as_batch": _renamed("t", shape.target_columns, cells),
            "content": self._content(range(len(shape.target_columns))),
            "key_content": self._content(shape.key_index),
            "update": self._update(),
            "definitions": self._definitions(),
            "version_fillfactor": SQL(str(VERSION_FILLFACTOR)),
            "target_fillfactor": SQL(str(TARGET_FILLFACTOR)),
        }

    def _no_versions(self) -> Composable:
        nothing = SQL("(SELECT {}, NULL::bytea AS {} FROM {} t WHERE false)")
        return nothing.format(_listed(self._keys, "t"), _name(self.token_column), self._target)

    def _content(self, places: Iterable[int]) -> Composable:
        columns, names = self._shape.source_columns, self._shape.target_columns
        return _trusted(canonical_sql(columns[place]._replace(name=names[place]), "t") for place in places)

    def _definitions(self) -> Composable:
        columns = zip(self._shape.source_columns, self._shape.target_columns, strict=True)
        return _trusted(f"{identifier(name)} {identifier(stored(column.type))}" for column, name in columns)

    def _update(self) -> Composable:
        rest = [name for name in self._shape.target_columns if name not in self._keys]
        if not rest:
            return SQL("NOTHING")
        one = SQL("{0} = excluded.{0}")
        return SQL("UPDATE SET ") + SQL(", ").join(one.format(_name(name)) for name in rest)


def version_name(target: str) -> str:
    """The version table's name: the target's, schema included; cut and told apart by a hash where it is too long."""
    if len(target.encode()) <= NAME_BYTES_MAX:
        return target
    return f"{target.encode()[: NAME_BYTES_MAX - 17].decode(errors='ignore')}.{_short(target)}"


def _short(text: str) -> str:
    return blake2b(text.encode(), digest_size=8).hexdigest()


def _free(name: str, taken: Sequence[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _listed(names: Iterable[str], alias: str = "") -> Composable:
    return SQL(", ").join(_name(alias, name) if alias else _name(name) for name in names)


def _equal(left: str, left_names: Sequence[str], right: str, right_names: Sequence[str]) -> Composable:
    pairs = zip(left_names, right_names, strict=True)
    return SQL(" AND ").join(SQL("{} = {}").format(_name(left, one), _name(right, two)) for one, two in pairs)


def _renamed(alias: str, names: Sequence[str], new: Sequence[str]) -> Composable:
    pairs = zip(names, new, strict=True)
    return SQL(", ").join(SQL("{} AS {}").format(_name(alias, one), _name(two)) for one, two in pairs)


def _trusted(parts: Iterable[str]) -> Composable:
    return SQL(", ".join(parts).replace("%", "%%"))


def _name(*names: str) -> Identifier:
    return Identifier(*(name.replace("%", "%%") for name in names))
