"""The audit trail: entries that carry the hash of the one before, and what is wrong with a trail. Pure.

The trail is kept twice, in the control database and on the audit topic. Each copy can be checked against its own
chain; a chain that was recomputed from the change on is found by comparing the two.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

HASH_BYTES: Final = 32
NO_HASH: Final = b""
# A publisher sends at most 1,000 again; more only where a database was restored from before they were acknowledged.
REPEATS_MAX: Final = 10_000
# Gaps of the topic whose entries are told from repeats when they come late; each of them is a flaw already.
GAPS_MAX: Final = 1_000
FLAWS_MAX: Final = 1_000


class Fact(NamedTuple):
    """Something that happened and belongs into the trail. `source` names the record it comes from: at most one entry
    is made of it."""

    at: datetime
    who: str
    what: str
    object: str
    why: str
    detail: Mapping[str, Any]
    source: str


class Entry(NamedTuple):
    """One entry of the trail, the fields of schemas/audit-entry.avsc. `detail` is canonical JSON, or empty."""

    sequence: int
    at: datetime
    who: str
    what: str
    object: str
    why: str
    detail: str
    previous: bytes
    hash: bytes


# The entries of a copy after the one with this sequence, in order, read as they are taken.
Copy = Callable[[int], Iterable[Entry]]


class Wrong(StrEnum):
    """What can be wrong with a trail."""

    changed = "changed"
    missing = "missing"
    reordered = "reordered"
    cut_off = "cut off"
    differs = "differs"


class Flaw(NamedTuple):
    """One thing that is wrong: where (database or topic), from which entry on."""

    wrong: Wrong
    where: str
    sequence: int
    sentence: str


def canonical(detail: Mapping[str, Any]) -> str:
    """The one JSON text of these facts; empty for none."""
    return json.dumps(detail, sort_keys=True, separators=(",", ":"), ensure_ascii=False) if detail else ""


def hash_of(entry: Entry) -> bytes:
    """The hash over every other field, `previous` included."""
    fields = [entry.sequence, micros(entry.at), *entry[2:7], entry.previous.hex()]
    return hashlib.sha256(json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()).digest()


def micros(at: datetime) -> int:
    """Microseconds since 1970, exactly."""
    since = at.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def chain(facts: Iterable[Fact], sequence: int, previous: bytes) -> list[tuple[Entry, str]]:
    """Entries for these facts, each with its fact's source, after the entry `sequence` with the hash `previous`."""
    made = []
    for fact in facts:
        sequence += 1
        detail = canonical({**fact.detail, "source": fact.source})
        bare = Entry(sequence, fact.at, fact.who, fact.what, fact.object, fact.why, detail, previous, NO_HASH)
        entry = bare._replace(hash=hash_of(bare))
        previous = entry.hash
        made.append((entry, fact.source))
    return made


def source_of(entry: Entry) -> str | None:
    """The source of the fact an entry was made of."""
    found = json.loads(entry.detail).get("source") if entry.detail else None
    return str(found) if found is not None else None


def flaws(entries: Iterable[Entry], where: str) -> Iterator[Flaw]:
    """What is wrong with one copy, given in the order in which it is kept."""
    walk = Walk(where)
    for entry in entries:
        yield from walk.flaws(entry)


class Walk:
    """Goes through one copy, entry after entry, and remembers the last one only."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._previous = NO_HASH
        self.last = 0
        self.count = 0

    def flaws(self, entry: Entry) -> Iterator[Flaw]:
        """What is wrong with the entry that stands next. One that stands too late is passed over."""
        self.count += 1
        if entry.sequence <= self.last:
            sentence = f"entry {entry.sequence} stands after entry {self.last}"
            yield Flaw(Wrong.reordered, self._where, entry.sequence, sentence)
            return
        if entry.sequence > self.last + 1:
            yield _gap(self._where, self.last + 1, entry.sequence - 1)
        elif entry.previous != self._previous:
            sentence = f"entry {entry.sequence} does not follow from entry {self.last}: one of them was replaced"
            yield Flaw(Wrong.changed, self._where, entry.sequence, sentence)
        yield from _changed(entry, self._where)
        self.last, self._previous = entry.sequence, entry.hash


def _changed(entry: Entry, where: str) -> list[Flaw]:
    if hash_of(entry) == entry.hash:
        return []
    return [Flaw(Wrong.changed, where, entry.sequence, f"entry {entry.sequence} is not what was written")]


def _gap(where: str, first: int, last: int) -> Flaw:
    what = f"entry {first} is" if first == last else f"entries {first} to {last} are"
    return Flaw(Wrong.missing, where, first, f"{what} not there")


class Found(NamedTuple):
    """What an entry of the topic is: whether it came for the first time, and what is wrong with it."""

    first: bool
    flaws: list[Flaw]


class TopicWalk:
    """Goes through the topic beside the database, entry after entry.

    A publisher that was killed sends entries again; a repeat must be the same. The newest REPEATS_MAX hashes are
    remembered to see that; what comes again later than that must be the database's.
    """

    def __init__(self, database: Copy) -> None:
        self._walk = Walk("topic")
        self._stored = _Stored(database)
        self._recent: dict[int, bytes] = {}
        self._gaps: deque[range] = deque(maxlen=GAPS_MAX)

    @property
    def last(self) -> int:
        """The largest sequence so far."""
        return self._walk.last

    def take(self, entry: Entry) -> Found:
        """The topic's next entry."""
        if (known := self._recent.get(entry.sequence)) is not None:
            return Found(False, [*_changed(entry, "topic"), *([] if known == entry.hash else [_otherwise(entry)])])
        stored = self._stored.hash_of(entry.sequence)
        differs = [_differs(entry)] if stored not in (None, entry.hash) else []
        repeated = 0 < entry.sequence <= self.last
        if repeated and not any(entry.sequence in gap for gap in self._gaps):
            return Found(False, [*_changed(entry, "topic"), *differs])
        if entry.sequence > self.last + 1:
            self._gaps.append(range(self.last + 1, entry.sequence))
        self._remember(entry)
        return Found(True, [*self._walk.flaws(entry), *differs])

    def _remember(self, entry: Entry) -> None:
        self._recent[entry.sequence] = entry.hash
        if len(self._recent) > REPEATS_MAX:
            del self._recent[next(iter(self._recent))]


class _Stored:
    """The hashes of a copy by sequence. Asked in order it is read once, part by part; what it lacks it goes on lacking:
    what is written meanwhile is compared the next time.
    """

    def __init__(self, copy: Copy) -> None:
        self._copy = copy
        self._asked = 1
        self._rest = iter(copy(0))
        self._next = next(self._rest, None)

    def hash_of(self, sequence: int) -> bytes | None:
        if sequence < self._asked:
            self._rest = iter(self._copy(sequence - 1))
            self._next = next(self._rest, None)
        self._asked = sequence
        while self._next is not None and self._next.sequence < sequence:
            self._next = next(self._rest, None)
        return self._next.hash if self._next is not None and self._next.sequence == sequence else None


def _otherwise(entry: Entry) -> Flaw:
    return Flaw(
        Wrong.differs, "topic", entry.sequence, f"entry {entry.sequence} was written twice with different content"
    )


def _differs(entry: Entry) -> Flaw:
    sentence = f"entry {entry.sequence} differs between database and topic"
    return Flaw(Wrong.differs, "both", entry.sequence, sentence)


def _ends(database: int, topic: int, published: int) -> Iterator[Flaw]:
    """Of the last sequence of each copy. Entries above `published` may not be on the topic yet; no others may lack."""
    if database < topic:
        sentence = f"entries {database + 1} to {topic} are on the topic and not in the database"
        yield Flaw(Wrong.cut_off, "database", database + 1, sentence)
    if topic < min(published, database):
        sentence = f"entries {topic + 1} to {published} were acknowledged by the topic and are not there"
        yield Flaw(Wrong.cut_off, "topic", topic + 1, sentence)
    if database < published and topic <= database:
        sentence = f"entries {database + 1} to {published} were published and are in neither copy"
        yield Flaw(Wrong.cut_off, "database", database + 1, sentence)


class Verified(NamedTuple):
    """entries: in the database. flaws: the first FLAWS_MAX of `wrong`; none: both copies are whole and the same."""

    entries: int
    wrong: int
    flaws: list[Flaw]


def verify(database: Copy, topic: Iterable[Entry], published: int) -> Verified:
    """Everything that is wrong with the trail, each copy read as a stream.

    The topic first: what it has is in the database by the time that is read.
    """
    walk, on_topic = Walk("database"), TopicWalk(database)
    wrong, found = 0, list[Flaw]()
    for flaw in _flaws(on_topic, topic, walk, database(0), published):
        wrong += 1
        if wrong <= FLAWS_MAX:
            found.append(flaw)
    return Verified(walk.count, wrong, found)


def _flaws(
    on_topic: TopicWalk, topic: Iterable[Entry], walk: Walk, database: Iterable[Entry], published: int
) -> Iterator[Flaw]:
    for entry in topic:
        yield from on_topic.take(entry).flaws
    for entry in database:
        yield from walk.flaws(entry)
    yield from _ends(walk.last, on_topic.last, published)
