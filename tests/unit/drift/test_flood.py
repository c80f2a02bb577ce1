"""Of very many keys in drift some are told one by one, and the others as exact numbers."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from streams.drift import flood
from streams.drift.flood import (
    FIRST_SECONDS,
    SEVERAL,
    TELL_SECONDS,
    Counted,
    flood_id,
    flood_records,
    is_flood,
    larger,
    telling,
)
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
    assert telling(found, 3) == (tuple(found), [])
    assert [*flood_records(NAMES, {}, 3, at=NOON)] == []


def test_every_key_is_told_or_counted() -> None:
    """Exactly, from the first one beyond the threshold on; by kind and cause, in a record of each kind."""
    found = [wrong(n) for n in range(4)] + [wrong(4, "stale", "missed change"), wrong(5, "missing", "rogue write")]
    each, beyond = telling(found, 3)
    assert [*each] == found[:3]
    assert [*beyond] == found[3:]
    numbers = Counter((wrong.kind, wrong.cause) for wrong in beyond)
    missing, stale = flood_records(NAMES, numbers, 3, at=NOON, run="r")
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
    assert [drifted.key for drifted in beyond] == [b"1", b"2", b"4"]
    each, beyond = telling(found, 1, lambda drifted: drifted.key in known)
    assert [drifted.key for drifted in each] == [b"3", b"5"]
    assert len(beyond) == 4


def test_who_counts_again_says_how_many_there_are_now() -> None:
    """The same record, by its id, for whoever counts the keys of a partition; another partition has one of its own."""
    ids = {
        next(iter(flood_records(NAMES, {("missing", "unknown"): keys}, partition, at=NOON)))["id"]
        for keys, partition in ((5, 3), (7, 3), (7, 4))
    }
    assert ids == {flood_id(NAMES, "missing", 3), flood_id(NAMES, "missing", 4)}


def test_a_flood_is_a_record_of_the_topic() -> None:
    """It names no key, and is known from drift of a table as a whole."""
    (made,) = flood_records(NAMES, {("missing", "unknown"): 5_000_000_000}, 3, at=NOON)

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
LOST = ("missing", "lost")
# Every key was looked at since.
JUST_NOW = float("inf")
WINDOW = 1_000.0


def news(counted: Counted, now: float, since: float = JUST_NOW) -> tuple[dict[Any, int], dict[Any, int]] | None:
    """What is told at this moment; None where it is not time to."""
    return counted.news(now, since) if counted.is_due(now, since) else None


def test_keys_that_are_counted_are_told_of_now_and_then() -> None:
    """Each once, however often it is seen; what has changed meanwhile is told with the next number."""
    counted = Counted(WINDOW, 0)
    assert news(counted, 0) is None
    for drift in ("1", "2", "2"):
        counted.add(drift, *MISSING, 0)
    assert news(counted, 0) == ({MISSING: 2}, {})
    counted.add("2", *STALE, 0)
    counted.add("3", *MISSING, 0)
    assert news(counted, TELL_SECONDS - 1) is None
    assert news(counted, TELL_SECONDS) == ({MISSING: 2, STALE: 1}, {})
    assert news(counted, TELL_SECONDS * 2) == ({}, {}), "nothing is new"


def test_what_is_counted_no_more_ends() -> None:
    """A kind of which none is left, with the next number; the last key at once."""
    counted = Counted(WINDOW, 0)
    counted.add("1", *MISSING, 0)
    counted.add("2", *STALE, 0)
    news(counted, 0)
    assert (counted.discard("2"), counted.discard("2"), "1" in counted) == (True, False, True)
    assert news(counted, TELL_SECONDS) == ({MISSING: 1}, {STALE: 1})
    counted.discard("1")
    assert not counted.is_over
    assert news(counted, TELL_SECONDS + 1, 0) == ({}, {MISSING: 1})
    assert counted.is_over
    assert news(counted, TELL_SECONDS + 2, 0) is None
    (ended,) = flood_records(NAMES, {MISSING: 1}, 1, at=NOON, state="superseded")
    assert (ended["state"], ended["keys"]) == ("superseded", 1)


def test_a_number_waits_until_every_key_was_looked_at() -> None:
    """After a restart, the first ones had replaced the number that was known by a small part of it."""
    counted = Counted(WINDOW, 0)
    counted.add("1", *MISSING, 100)
    assert news(counted, 130, 99) is None
    counted.add("2", *MISSING, 130)
    assert news(counted, 131, 100) == ({MISSING: 2}, {})
    assert counted.is_whole(100)


def test_a_number_that_is_not_whole_in_time_says_so() -> None:
    """Nobody waits for a pass of a day."""
    counted = Counted(WINDOW, 0)
    counted.add("1", *MISSING, 100)
    assert news(counted, 100 + FIRST_SECONDS - 1, 0) is None
    numbers, _ = counted.news(100 + FIRST_SECONDS, 0)
    assert (numbers, counted.is_whole(0)) == ({MISSING: 1}, False)
    (part,) = flood_records(NAMES, numbers, 1, at=NOON, whole=False)
    assert part["reason"] == "at least 1 keys beyond those that are told one by one"


def test_where_there_is_no_room_to_count_a_key_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded, and nothing is dropped: whoever counts names it instead."""
    monkeypatch.setattr(flood, "COUNTED_MAX", 1)
    counted = Counted(WINDOW, 0)
    assert [counted.add(drift, *MISSING, 0) for drift in ("1", "2", "1")] == [True, False, True]


def test_the_number_of_others_is_made_smaller_only_by_a_look_at_every_key() -> None:
    """Kind by kind, with its causes; a list of the replica's own keys may take longer than the pass."""
    counted = Counted(WINDOW, 0)
    counted.heard(Counter({MISSING: 3, LOST: 2, STALE: 1}), (), 0)
    assert not counted.is_ours
    for drift in ("1", "2"):
        counted.add(drift, *STALE, 50)
    assert news(counted, FIRST_SECONDS, -1) == ({MISSING: 3, LOST: 2, STALE: 2}, {})
    assert news(counted, WINDOW - 1) == ({}, {})
    assert not counted.is_ours
    assert news(counted, WINDOW + TELL_SECONDS) == ({STALE: 2}, {MISSING: 3, LOST: 2})
    assert counted.is_ours


def test_who_goes_on_ends_a_number_of_which_nothing_is_left() -> None:
    """Once it has looked at every key; where nothing was told, nothing is."""
    for said in (Counter({MISSING: 3}), Counter()):
        counted = Counted(WINDOW, 0, goes_on=True)
        assert news(counted, WINDOW - 1) is None
        assert counted.is_due(WINDOW, JUST_NOW)
        counted.heard(said, (), WINDOW)
        assert news(counted, WINDOW + 1) == ({}, said)
        assert counted.is_over


def test_what_others_have_named_is_not_counted() -> None:
    """A run names keys that continuous checking has counted; what it says of the others is the same then."""
    counted = Counted(WINDOW, 0)
    for drift in ("1", "2", "3"):
        counted.add(drift, *MISSING, 0)
    news(counted, 0)
    counted.heard(Counter({MISSING: 2}), {"2", "9"}, TELL_SECONDS)
    assert (len(counted), "2" in counted) == (2, False)
    assert news(counted, TELL_SECONDS) == ({}, {})


def test_a_key_that_is_named_is_in_no_number_for_long() -> None:
    """Told at once; only that it is right can wait."""
    counted = Counted(WINDOW, 0)
    for drift in ("1", "2", "3"):
        counted.add(drift, *MISSING, 0)
    news(counted, 0)
    counted.discard("1")
    counted.named("4")
    assert news(counted, 1) is None
    counted.named("2")
    assert news(counted, 1) == ({MISSING: 1}, {})


def test_of_each_kind_the_larger_numbers_count() -> None:
    """With the causes of whom has more."""
    one, other = Counter({MISSING: 2, STALE: 1}), Counter({MISSING: 1, LOST: 3, ("orphan", "x"): 1})
    assert larger(one, other) == larger(other, one) == {MISSING: 1, LOST: 3, STALE: 1, ("orphan", "x"): 1}
    assert larger(Counter(), Counter()) == {}
