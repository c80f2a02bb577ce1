"""The audit trail: entries that carry the hash of the one before, and what is wrong with a trail. Pure.

The trail is kept twice, in the control database and on the audit topic. Each copy can be checked against its own
chain; a chain that was recomputed from the change on is found by comparing the two.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

HASH_BYTES: Final = 32
NO_HASH: Final = b""


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


def flaws(entries: Sequence[Entry], where: str) -> list[Flaw]:
    """What is wrong with one copy, given in the order in which it is kept."""
    found = []
    sequence, previous = 0, NO_HASH
    for entry in entries:
        if entry.sequence <= sequence:
            sentence = f"entry {entry.sequence} stands after entry {sequence}"
            found.append(Flaw(Wrong.reordered, where, entry.sequence, sentence))
            continue
        if entry.sequence > sequence + 1:
            found.append(_gap(where, sequence + 1, entry.sequence - 1))
        elif entry.previous != previous:
            sentence = f"entry {entry.sequence} does not follow from entry {sequence}: one of them was replaced"
            found.append(Flaw(Wrong.changed, where, entry.sequence, sentence))
        if hash_of(entry) != entry.hash:
            sentence = f"entry {entry.sequence} is not what was written"
            found.append(Flaw(Wrong.changed, where, entry.sequence, sentence))
        sequence, previous = entry.sequence, entry.hash
    return found


def _gap(where: str, first: int, last: int) -> Flaw:
    what = f"entry {first} is" if first == last else f"entries {first} to {last} are"
    return Flaw(Wrong.missing, where, first, f"{what} not there")


def without_repeats(entries: Iterable[Entry]) -> tuple[list[Entry], list[Flaw]]:
    """The topic's entries once each: a publisher that was killed sends some again. A repeat must be the same."""
    kept: list[Entry] = []
    by_sequence: dict[int, bytes] = {}
    found = []
    for entry in entries:
        known = by_sequence.get(entry.sequence)
        if known is None:
            by_sequence[entry.sequence] = entry.hash
            kept.append(entry)
        elif known != entry.hash:
            sentence = f"entry {entry.sequence} was written twice with different content"
            found.append(Flaw(Wrong.differs, "topic", entry.sequence, sentence))
    return kept, found


def compare(database: Sequence[Entry], topic: Sequence[Entry], published: int) -> list[Flaw]:
    """Where the copies differ. Entries above `published` may not be on the topic yet; nothing else may be missing."""
    hashes = {entry.sequence: entry.hash for entry in topic}
    last_database = max((entry.sequence for entry in database), default=0)
    last_topic = max(hashes, default=0)
    found = [
        Flaw(Wrong.differs, "both", entry.sequence, f"entry {entry.sequence} differs between database and topic")
        for entry in database
        if hashes.get(entry.sequence, entry.hash) != entry.hash
    ]
    if last_database < last_topic:
        sentence = f"entries {last_database + 1} to {last_topic} are on the topic and not in the database"
        found.append(Flaw(Wrong.cut_off, "database", last_database + 1, sentence))
    if last_topic < min(published, last_database):
        sentence = f"entries {last_topic + 1} to {published} were acknowledged by the topic and are not there"
        found.append(Flaw(Wrong.cut_off, "topic", last_topic + 1, sentence))
    if last_database < published and last_topic <= last_database:
        sentence = f"entries {last_database + 1} to {published} were published and are in neither copy"
        found.append(Flaw(Wrong.cut_off, "database", last_database + 1, sentence))
    return found


def verify(database: Sequence[Entry], topic: Sequence[Entry], published: int) -> list[Flaw]:
    """Everything that is wrong with the trail; empty: both copies are whole and the same."""
    once, repeated = without_repeats(topic)
    return [*flaws(database, "database"), *flaws(once, "topic"), *repeated, *compare(database, once, published)]
