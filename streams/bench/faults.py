"""Ways to make one key of the replica wrong behind everybody's back."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, LiteralString

from psycopg.sql import SQL, Identifier

from streams.bench import subject
from streams.bench.errors import BenchError
from streams.bench.load import Wish
from streams.replicas.postgres_sql import version_name


class Fault(StrEnum):
    """Each leaves content that is not the source's: a version row alone, changed, leaves the replica right.

    changed: another value in a column, under our token. foreign: the same, under a token that is not ours. deleted: the
    row is gone, its version row is there. removed: both are gone. older: the row as it once was, under the token of
    now. restored: the row as it once was, under an older token, as from a backup. inserted: a row that the source
    does not have.
    """

    changed = "changed"
    foreign = "foreign"
    deleted = "deleted"
    removed = "removed"
    older = "older"
    restored = "restored"
    inserted = "inserted"


# The key that each needs, where it is to be one that was just written.
WISHES: Final[Mapping[Fault, Wish]] = {
    Fault.changed: Wish.written,
    Fault.foreign: Wish.written,
    Fault.deleted: Wish.written,
    Fault.removed: Wish.written,
    Fault.older: Wish.updated,
    Fault.restored: Wish.updated,
    Fault.inserted: Wish.deleted,
}

_CHANGE: Final = "UPDATE {target} SET customer = customer + 1 WHERE id = %s"
_DELETE: Final = "DELETE FROM {target} WHERE id = %s"
_FORGET: Final = "DELETE FROM {versions} WHERE id = %s"
# Bytes of a token: 4 of the epoch, 8 of the offset, 4 of the refresh. An offset that no topic reaches, and the first.
_RAISE: Final = "UPDATE {versions} SET token = set_byte(token, 5, 1) WHERE id = %s"
_LOWER: Final = (
    "UPDATE {versions} SET token = overlay(token PLACING decode(repeat('00', 12), 'hex') FROM 5) WHERE id = %s"
)

_STATEMENTS: Final[Mapping[Fault, tuple[LiteralString, ...]]] = {
    Fault.changed: (_CHANGE,),
    Fault.foreign: (_CHANGE, _RAISE),
    Fault.deleted: (_DELETE,),
    Fault.removed: (_DELETE, _FORGET),
    Fault.older: (_DELETE,),
    Fault.restored: (_DELETE, _LOWER),
    Fault.inserted: (),
}
_WRITTEN: Final = frozenset({Fault.older, Fault.restored, Fault.inserted})


class Spoiler:
    """Writes to one target past its worker."""

    def __init__(self, dsn: str, target: str, token_schema: str) -> None:
        self._connection = subject.connect(dsn)
        self._target = target
        self._names = {
            "target": Identifier(*target.split(".", 1)),
            "versions": Identifier(token_schema, version_name(target)),
        }

    def plant(self, fault: Fault, key: int) -> None:
        """Make the key wrong, in one transaction. Raises BenchError where it is not there to be made wrong."""
        with self._connection.transaction():
            for statement in _STATEMENTS[fault]:
                touched = self._run(statement, key).rowcount
                if touched != 1:
                    raise BenchError(
                        f"The fault {fault} found {touched} rows where one was expected.",
                        "Does anything else write to the benchmark's tables?",
                    )
            if fault in _WRITTEN:
                subject.insert(self._connection, self._target, [key], 0)

    def arrived(self, keys: Mapping[int, int]) -> set[int]:
        """Those of these keys (with their revisions) whose last write is in the replica."""
        rows = self._connection.execute(
            SQL("SELECT id, revision FROM {target} WHERE id = ANY(%s)").format(**self._names), (list(keys),)
        ).fetchall()
        return {key for key, revision in rows if revision == keys[key]}

    def deleted(self, keys: list[int]) -> set[int]:
        """Those of these keys that are deleted in the replica."""
        rows = self._connection.execute(
            SQL("SELECT id FROM {versions} WHERE id = ANY(%s) AND dead_since IS NOT NULL").format(**self._names),
            (keys,),
        ).fetchall()
        return {key for (key,) in rows}

    def close(self) -> None:
        """Give back the connection."""
        self._connection.close()

    def _run(self, statement: LiteralString, key: int) -> Any:
        return self._connection.execute(SQL(statement).format(**self._names), (key,))
