"""The trail on its way to the topic, and what is found when somebody has touched a copy."""

from __future__ import annotations

from functools import partial
from typing import Any

import psycopg
import pytest

from streams.control import trail
from streams.control.audit import Entry, Wrong, verify
from streams.control.database import Database
from streams.control.materialise import Materialiser
from streams.kafka.events import EventsNotWritten
from streams.kafka.schemas import schema
from streams.kafka.wire import Decoder, Encoder
from tests.integration.control.records import DRIFT, drift

pytestmark = pytest.mark.stack
AUDIT = "holdtrue.audit"


class Killed(BaseException):
    """The process ends here."""


class Topic:
    """The audit topic: keeps what was acknowledged, in the wire format. `dies_after` records it kills the sender."""

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self.dies_after: int | None = None
        self.dies_at_flush = False
        self.away = False

    def send(self, topic: str, key: Any, schema_name: str, record: dict[str, Any], headers: Any = None,
             partition: int | None = None) -> None:  # fmt: skip
        """Queue one event; here it is there at once, which is the worst case."""
        assert (topic, schema_name, partition) == (AUDIT, trail.SCHEMA, 0)
        if self.dies_after == 0:
            raise Killed
        self.values.append(Encoder(schema_name, 1).encode(record))
        self.dies_after = None if self.dies_after is None else self.dies_after - 1

    def flush(self) -> None:
        """Wait until everything sent is acknowledged."""
        if self.dies_at_flush:
            raise Killed
        if self.away:
            raise EventsNotWritten("Kafka is away.")

    def entries(self) -> list[Entry]:
        """What a reader gets."""
        decoder = Decoder(trail.SCHEMA, self)
        return [trail.entry_of(decoder.decode(value)) for value in self.values]

    def schema(self, schema_id: int) -> Any:
        """The one schema of the topic."""
        return schema(trail.SCHEMA)


def publish(database: Database, topic: Topic) -> int:
    return trail.publish(database, topic, AUDIT, source="/holdtrue/bank/control")


def flaws(database: Database, topic: Topic) -> set[tuple[Wrong, str, int]]:
    found = verify(partial(trail.read, database), topic.entries(), trail.published_through(database))
    return {(flaw.wrong, flaw.where, flaw.sequence) for flaw in found.flaws}


@pytest.fixture
def topic() -> Topic:
    return Topic()


@pytest.fixture
def filled(materialiser: Materialiser, database: Database) -> Database:
    """A trail of ten entries."""
    materialiser.apply(DRIFT, 0, [drift(n, "open", drift=f"d{n}") for n in range(10)])
    return database


def tampered(dsn: str, *statements: str) -> None:
    """Changes the trail as the owner of the database can."""
    with psycopg.connect(dsn) as connection:
        connection.execute("ALTER TABLE holdtrue.audit DISABLE TRIGGER append_only")
        for statement in statements:
            connection.execute(statement)  # type: ignore[arg-type]
        connection.execute("ALTER TABLE holdtrue.audit ENABLE TRIGGER append_only")


def test_entries_reach_the_topic_once_and_in_order(filled: Database, topic: Topic) -> None:
    """What was published is not published again."""
    assert publish(filled, topic) == 10
    assert publish(filled, topic) == 0
    assert topic.entries() == list(trail.read(filled))
    assert flaws(filled, topic) == set()


@pytest.mark.parametrize("after", [0, 1, 9])
def test_a_kill_while_publishing_loses_nothing(filled: Database, topic: Topic, after: int) -> None:
    """Some are on the topic and the mark has not moved: they are sent again, and recognised."""
    topic.dies_after = after
    with pytest.raises(Killed):
        publish(filled, topic)
    assert flaws(filled, topic) == set()
    topic.dies_after = None
    assert publish(filled, topic) == 10
    assert len(topic.values) == 10 + after
    assert flaws(filled, topic) == set()


def test_a_kill_after_the_topic_has_them_and_before_the_mark_moves(filled: Database, topic: Topic) -> None:
    """All of them twice on the topic; once in the trail."""
    topic.dies_at_flush = True
    with pytest.raises(Killed):
        publish(filled, topic)
    topic.dies_at_flush = False
    publish(filled, topic)
    assert len(topic.values) == 20
    assert flaws(filled, topic) == set()


def test_the_mark_stays_while_the_topic_does_not_answer(filled: Database, topic: Topic) -> None:
    """Nothing counts as published before it is acknowledged."""
    topic.away = True
    with pytest.raises(EventsNotWritten):
        publish(filled, topic)
    assert trail.published_through(filled) == 0


def test_a_lost_database_gets_its_trail_back_and_no_entry_twice(
    filled: Database, topic: Topic, materialiser: Materialiser, dsn: str
) -> None:
    """An empty database, filled again from the topics: the records do not make entries a second time."""
    publish(filled, topic)
    before = list(trail.read(filled))
    tampered(dsn, "TRUNCATE holdtrue.audit, holdtrue.progress, holdtrue.drift, holdtrue.drift_events",
             "UPDATE holdtrue.audit_published SET through = 0")  # fmt: skip
    assert trail.restore(filled, topic.entries) == 10
    materialiser.apply(DRIFT, 0, [drift(n, "open", drift=f"d{n}") for n in range(11)])
    assert list(trail.read(filled))[:10] == before
    assert [entry.object for entry in list(trail.read(filled))[10:]] == ["d10"]
    assert publish(filled, topic) == 1
    assert flaws(filled, topic) == set()


def test_a_trail_that_was_changed_is_not_continued_from_the_topic(filled: Database, topic: Topic, dsn: str) -> None:
    """Restoring its end would hide what happened to its beginning."""
    publish(filled, topic)
    tampered(dsn, "DELETE FROM holdtrue.audit WHERE sequence > 8",
             "UPDATE holdtrue.audit SET hash = decode(repeat('00', 32), 'hex') WHERE sequence = 3")  # fmt: skip
    with pytest.raises(trail.TrailBroken, match="entry 3 differs"):
        trail.restore(filled, topic.entries)
    assert len(list(trail.read(filled))) == 8


@pytest.mark.parametrize(
    ("statement", "flaw"),
    [
        ("UPDATE holdtrue.audit SET why = 'x' WHERE sequence = 4", (Wrong.changed, "database", 4)),
        ("UPDATE holdtrue.audit SET at = at + '1 microsecond' WHERE sequence = 4", (Wrong.changed, "database", 4)),
        ("DELETE FROM holdtrue.audit WHERE sequence = 4", (Wrong.missing, "database", 4)),
        ("DELETE FROM holdtrue.audit WHERE sequence > 7", (Wrong.cut_off, "database", 8)),
        (
            "UPDATE holdtrue.audit SET sequence = CASE sequence WHEN 4 THEN 500 ELSE 400 END WHERE sequence IN (4, 5);"
            "UPDATE holdtrue.audit SET sequence = CASE sequence WHEN 500 THEN 5 ELSE 4 END WHERE sequence >= 400",
            (Wrong.changed, "database", 4),
        ),
    ],
)
def test_what_somebody_did_to_the_table_is_found(
    filled: Database, topic: Topic, dsn: str, statement: str, flaw: tuple[Wrong, str, int]
) -> None:
    """Changed, removed, cut off, re-ordered."""
    publish(filled, topic)
    assert flaws(filled, topic) == set()
    tampered(dsn, *statement.split(";"))
    assert flaw in flaws(filled, topic)


def test_what_somebody_did_to_the_topic_is_found(filled: Database, topic: Topic) -> None:
    """A removed, a swapped and a cut-off record."""
    publish(filled, topic)
    whole = list(topic.values)
    topic.values = whole[:3] + whole[4:]
    assert (Wrong.missing, "topic", 4) in flaws(filled, topic)
    topic.values = [*whole[:3], whole[4], whole[3], *whole[5:]]
    assert (Wrong.reordered, "topic", 4) in flaws(filled, topic)
    topic.values = whole[:8]
    assert (Wrong.cut_off, "topic", 9) in flaws(filled, topic)


def test_a_trail_longer_than_one_part_is_read_and_brought_back_part_by_part(
    filled: Database, topic: Topic, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From any entry on; and from a database that lost its end only, with repeats on the topic."""
    monkeypatch.setattr(trail, "READ_MAX", 5)
    monkeypatch.setattr(trail, "PUBLISH_MAX", 3)
    topic.dies_after = 2
    with pytest.raises(Killed):
        publish(filled, topic)
    topic.dies_after = None
    while publish(filled, topic):
        pass
    before = list(trail.read(filled))
    assert [entry.sequence for entry in before] == list(range(1, 11))
    assert list(trail.read(filled, 5)) == before[5:]
    tampered(dsn, "DELETE FROM holdtrue.audit WHERE sequence > 2", "UPDATE holdtrue.audit_published SET through = 2")
    assert trail.restore(filled, topic.entries) == 8
    assert list(trail.read(filled)) == before
    assert trail.published_through(filled) == 10
    assert trail.restore(filled, topic.entries) == 0


def test_a_trail_that_is_broken_far_behind_is_not_brought_back_at_all(
    filled: Database, topic: Topic, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts of it were good; nothing of them is kept."""
    publish(filled, topic)
    monkeypatch.setattr(trail, "PUBLISH_MAX", 3)
    topic.values = topic.values[:8] + topic.values[9:]
    tampered(dsn, "DELETE FROM holdtrue.audit WHERE sequence > 2")
    with pytest.raises(trail.TrailBroken, match="entry 9 is not there"):
        trail.restore(filled, topic.entries)
    assert len(list(trail.read(filled))) == 2
