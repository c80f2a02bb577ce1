"""The audit trail in the control database, and its way onto the audit topic: an outbox.

An entry is committed together with what it is about, then published in order, then the mark moves. A kill between two
of these steps sends entries again, which readers recognise by their sequence; it never loses or doubles one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, Final, Protocol

from streams.control.audit import NO_HASH, Entry, Fact, TopicWalk, chain, source_of
from streams.control.database import Connection, Database, Row
from streams.control.queries import query
from streams.errors import HoldtrueError
from streams.kafka.wire import Headers, cloud_event

SCHEMA: Final = "audit-entry"
PUBLISH_MAX: Final = 1_000
READ_MAX: Final = 1_000


class TrailBroken(HoldtrueError):
    """The audit trail in the database cannot be continued: it is not the one that is on the topic."""


class Writer(Protocol):
    """What publishing needs of `streams.kafka.events.EventWriter`."""

    def send(
        self,
        topic: str,
        key: str | bytes | None,
        schema_name: str,
        record: dict[str, Any],
        headers: Headers | None = None,
        partition: int | None = None,
    ) -> None:
        """Queue one event."""

    def flush(self) -> None:
        """Wait until everything sent is acknowledged."""


def append(connection: Connection, facts: Sequence[Fact]) -> int:
    """Add entries for the facts that have none yet, in the caller's transaction; how many were added."""
    if not facts:
        return 0
    connection.execute(query("lock_audit"))
    fresh: dict[str, Fact] = {}
    for fact in facts:
        fresh.setdefault(fact.source, fact)
    for row in connection.execute(query("audit_known"), {"sources": list(fresh)}).fetchall():
        del fresh[row["source"]]
    tail = connection.execute(query("audit_tail")).fetchone()
    sequence, previous = (tail["sequence"], bytes(tail["hash"])) if tail else (0, NO_HASH)
    made = chain(fresh.values(), sequence, previous)
    _insert(connection, made)
    return len(made)


def publish(database: Database, writer: Writer, topic: str, *, source: str) -> int:
    """Put the next entries on the topic, at most PUBLISH_MAX; how many. The row lock keeps publishers in turn."""
    with database.transaction() as connection:
        mark = connection.execute(query("lock_published")).fetchone()
        assert mark is not None  # the migration that makes the table puts its one row there
        values = {"after": mark["through"], "limit": PUBLISH_MAX}
        entries = [entry_of(row) for row in connection.execute(query("audit_range"), values).fetchall()]
        for entry in entries:
            event = cloud_event("holdtrue.audit", source, event_id=f"audit-{entry.sequence}", at=entry.at)
            writer.send(topic, entry.object, SCHEMA, entry._asdict(), event, 0)
        if entries:
            writer.flush()
            connection.execute(query("move_published"), {"through": entries[-1].sequence})
    return len(entries)


def read(database: Database, after: int = 0) -> Iterator[Entry]:
    """The trail of the database behind the entry `after`, in order; one part at a time is in memory."""
    more = True
    while more:
        rows = database.rows("audit_range", {"after": after, "limit": READ_MAX})
        yield from map(entry_of, rows)
        more = len(rows) == READ_MAX
        after = rows[-1]["sequence"] if rows else after


def published_through(database: Database) -> int:
    """The outbox's mark."""
    return int(database.rows("audit_published")[0]["through"])


def restore(database: Database, topic: Callable[[], Iterable[Entry]]) -> int:
    """Bring back what the topic has beyond the database's end, as after the loss of the database; how many entries.

    topic: its entries from the first one on, as a stream, at each call. Raises TrailBroken, changing nothing, when the
    topic's trail is not whole or does not continue the database's.
    """
    tail = database.rows("audit_tail")
    if max((entry.sequence for entry in topic()), default=0) <= (tail[0]["sequence"] if tail else 0):
        return 0
    with database.transaction() as connection:
        connection.execute(query("lock_audit"))
        return _bring_back(connection, TopicWalk(partial(read, database)), topic())


def _bring_back(connection: Connection, walk: TopicWalk, topic: Iterable[Entry]) -> int:
    tail = connection.execute(query("audit_tail")).fetchone()
    last = tail["sequence"] if tail else 0
    missing = (entry for entry in _whole(walk, topic) if entry.sequence > last)
    count = 0
    while part := list(islice(missing, PUBLISH_MAX)):
        _insert(connection, [(entry, source_of(entry)) for entry in part])
        count += len(part)
    connection.execute(query("move_published"), {"through": walk.last})
    return count


def _whole(walk: TopicWalk, topic: Iterable[Entry]) -> Iterator[Entry]:
    """The topic's entries once each. Raises TrailBroken at the first that is wrong."""
    for entry in topic:
        found = walk.take(entry)
        if found.flaws:
            raise TrailBroken(
                f"The audit trail cannot be continued: {found.flaws[0].sentence}.",
                "Run holdtrue audit verify, and restore the control database that belongs to this audit topic.",
            )
        if found.first:
            yield entry


def entry_of(row: Row) -> Entry:
    """An entry from a row of the table or a record of the topic."""
    fields: dict[str, Any] = {**row, "previous": bytes(row["previous"]), "hash": bytes(row["hash"])}
    return Entry(**fields)


def _insert(connection: Connection, entries: Sequence[tuple[Entry, str | None]]) -> None:
    with connection.cursor() as cursor:
        rows = [{**entry._asdict(), "source": source} for entry, source in entries]
        cursor.executemany(query("add_audit"), rows)
