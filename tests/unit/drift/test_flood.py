"""Of very many keys in drift some are told one by one, and the others as exact numbers."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest

from streams.drift import flood
from streams.drift.flood import FIRST_SECONDS, SEVERAL, TELL_SECONDS, Counted, flood_records, is_flood, telling
from streams.drift.names import Names
from streams.kafka.schemas import schema
from streams.kafka.wire import Decoder, Encoder
from streams.validation.report import Drifted

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
NAMES = Names("cache", "public.t", ["id"])


def wrong(number: int, kind: str = "missing", cause: str = "unknown") -> Drifted:
    return Drifted(str(number).encode(), kind, cause=cause)


@pytest.mark.parametrize("keys", [0, 1, 3])
def test_few_keys_are_all_told_one_by_one(keys: int) -> None:
    """Up to the threshold nothing is only counted."""
    found = [wrong(number) for number in range(keys)]
    assert telling(found, 3) == (tuple(found), Counter())
    assert [*flood_records(NAMES, telling(found, 3).beyond, "runs", at=NOON)] == []


def test_every_key_is_told_or_counted() -> None:
    """Exactly: by kind and cause, from the first one beyond the threshold on."""
    found = [wrong(n) for n in range(4)] + [wrong(4, "stale", "missed change"), wrong(5, "missing", "rogue write")]
    each, beyond = telling(found, 3)
    assert [*each] == found[:3]
    assert beyond == {("missing", "unknown"): 1, ("stale", "missed change"): 1, ("missing", "rogue write"): 1}
    missing, stale = flood_records(NAMES, beyond, "runs", at=NOON, run="r")
    assert (missing["keys"], missing["causes"]) == (2, {"unknown": 1, "rogue write": 1})
    assert (missing["kind"], missing["cause"], missing["state"], missing["run"]) == ("missing", SEVERAL, "open", "r")
    assert (stale["keys"], stale["cause"], stale["causes"]) == (1, "missed change", {"missed change": 1})
    assert missing["id"] != stale["id"]
    assert len(each) + missing["keys"] + stale["keys"] == len(found)


def test_a_key_that_has_a_record_is_not_counted_beside_it() -> None:
    """Seen again by a run that finds others before it, or among more than it may tell: it is told, once."""
    found = [wrong(number) for number in range(6)]
    known = {b"3", b"5"}
    each, beyond = telling(found, 3, lambda drifted: drifted.key in known)
    assert [drifted.key for drifted in each] == [b"3", b"5", b"0"]
    assert beyond.total() == 3
    each, beyond = telling(found, 1, lambda drifted: drifted.key in known)
    assert [drifted.key for drifted in each] == [b"3", b"5"]
    assert beyond.total() == 4


def test_who_counts_again_says_how_many_there_are_now() -> None:
    """The same record, by its id; another counter has one of its own."""
    ids = {
        next(iter(flood_records(NAMES, {("missing", "unknown"): keys}, by, at=NOON)))["id"]
        for keys, by in ((5, "runs"), (7, "runs"), (7, "partition 3"))
    }
    assert len(ids) == 2


def test_a_flood_is_a_record_of_the_topic() -> None:
    """It names no key, and is known from drift of a table as a whole."""
    (made,) = flood_records(NAMES, {("missing", "unknown"): 5_000_000_000}, "runs", at=NOON)

    class Schemas:
        """A registry with one schema."""

        def schema(self, schema_id: int) -> object:
            """That one."""
            return schema("drift")

    read = Decoder("drift", Schemas()).decode(Encoder("drift", 1).encode(made))
    assert (read["key"], read["key_bytes"], read["keys"]) == (None, None, 5_000_000_000)
    assert is_flood(read)
    assert not is_flood(read | {"causes": {}, "keys": 1})


MISSING, STALE = ("missing", "gone"), ("stale", "late")
# Every key was looked at since.
JUST_NOW = float("inf")


def test_keys_that_are_counted_are_told_of_now_and_then() -> None:
    """Each once, however often it is seen; what has changed meanwhile is told with the next number."""
    counted = Counted()
    assert counted.news(0, JUST_NOW) == (Counter(), Counter())
    for key in (b"1", b"2", b"2"):
        counted.add(key, *MISSING, 0)
    assert counted.news(0, JUST_NOW) == ({MISSING: 2}, {})
    counted.add(b"2", *STALE, 0)
    counted.add(b"3", *MISSING, 0)
    assert counted.news(TELL_SECONDS - 1, JUST_NOW) == ({}, {})
    assert counted.news(TELL_SECONDS, JUST_NOW) == ({MISSING: 2, STALE: 1}, {})
    assert counted.news(TELL_SECONDS * 2, JUST_NOW) == ({}, {}), "nothing is new"


def test_what_is_counted_no_more_ends() -> None:
    """A kind of which none is left, with the next number; the last key at once."""
    counted = Counted()
    counted.add(b"1", *MISSING, 0)
    counted.add(b"2", *STALE, 0)
    counted.news(0, JUST_NOW)
    assert (counted.discard(b"2"), counted.discard(b"2"), b"1" in counted) == (True, False, True)
    assert counted.news(TELL_SECONDS, JUST_NOW) == ({MISSING: 1}, {STALE: 1})
    counted.discard(b"1")
    assert counted.news(TELL_SECONDS + 1, 0) == ({}, {MISSING: 1})
    assert counted.news(TELL_SECONDS + 2, 0) == ({}, {})
    (ended,) = flood_records(NAMES, {MISSING: 1}, "partition 1", at=NOON, state="superseded")
    assert (ended["state"], ended["keys"]) == ("superseded", 1)


def test_a_number_waits_until_every_key_was_looked_at() -> None:
    """After a restart, the first ones had replaced the number that was known by a small part of it."""
    counted = Counted()
    counted.add(b"1", *MISSING, 100)
    assert counted.news(130, 99) == ({}, {})
    counted.add(b"2", *MISSING, 130)
    assert counted.news(131, 100) == ({MISSING: 2}, {})
    assert counted.is_whole(100)


def test_a_number_that_is_not_whole_in_time_says_so() -> None:
    """Nobody waits for a pass of a day."""
    counted = Counted()
    counted.add(b"1", *MISSING, 100)
    assert counted.news(100 + FIRST_SECONDS - 1, 0) == ({}, {})
    numbers, _ = counted.news(100 + FIRST_SECONDS, 0)
    assert (numbers, counted.is_whole(0)) == ({MISSING: 1}, False)
    (part,) = flood_records(NAMES, numbers, "partition 1", at=NOON, whole=False)
    assert part["reason"] == "at least 1 keys beyond those that are told one by one"


def test_where_there_is_no_room_to_count_a_key_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded, and nothing is dropped: whoever counts names it instead."""
    monkeypatch.setattr(flood, "COUNTED_MAX", 1)
    counted = Counted()
    assert [counted.add(key, *MISSING, 0) for key in (b"1", b"2", b"1")] == [True, False, True]
