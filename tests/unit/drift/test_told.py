"""What the drift topic says of one replica, record by record."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from streams.drift import told as module
from streams.drift.flood import flood_records
from streams.drift.names import Names
from streams.drift.record import key_record, record
from streams.drift.told import Told
from tests.support.drift_topic import DEFAULTS

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
NAMES = Names("cache", "public.t", ["id"])
HIDDEN = NAMES._replace(secret=b"s")
MISSING = ("missing", "gone")


def of_key(number: int, state: str = "open", names: Names = NAMES, **more: Any) -> dict[str, Any]:
    key = b"\x01%d" % number
    return {**DEFAULTS, **key_record(names, key, kind="missing", cause="gone", state=state, at=NOON, **more)}


def flood(keys: int, partition: int, state: str = "open", **more: Any) -> dict[str, Any]:
    (made,) = flood_records(NAMES, {MISSING: keys}, partition, at=NOON, state=state, **more)
    return {**DEFAULTS, **made}


def told_by(*records: dict[str, Any]) -> Told:
    told = Told("cache")
    for offset, each in enumerate(records):
        told.take(offset, each)
    return told


def test_whose_drift_has_not_ended_is_named() -> None:
    """Also what is accepted, suspected or being repaired, and keys that are hidden; nothing of other replicas."""
    shown = [of_key(n, state) for n, state in enumerate(("open", "repairing", "accepted", "suspected", "resolved"))]
    hidden, other = of_key(7, names=HIDDEN), of_key(8, names=NAMES._replace(replica="reports"))
    whole = {**DEFAULTS, **record("cache", "public.t", kind="continuity", cause="x", state="open", at=NOON, place="p")}
    told = told_by(*shown, hidden, other, whole)
    assert {*told.named("public.t")} == {each["id"] for each in (*shown[:4], hidden)}
    assert not told.named("public.other")
    told.take(9, of_key(0, "superseded"))
    told.take(10, of_key(4))
    assert shown[0]["id"] not in told.named("public.t")
    assert shown[4]["id"] in told.named("public.t")


def test_what_is_counted_is_known_by_partition() -> None:
    """The newest number of each; none that has ended."""
    told = told_by(flood(5, 1), flood(7, 2), flood(6, 1), flood(7, 2, "superseded"))
    assert told.counted(NAMES, 1) == Counter({MISSING: 6})
    assert told.counted(NAMES, 2) == Counter()


def test_the_end_of_a_run_that_did_not_see_the_last_word_is_none() -> None:
    """As in control: what was told again since the run began stays."""
    first = [of_key(1), flood(5, 1)]
    ends = [of_key(1, "superseded"), flood(5, 1, "superseded")]
    for before, is_open in ((0, True), (2, False)):
        told = told_by(*first, *(end | {"ends_before": before} for end in ends))
        assert (bool(told.named("public.t")), bool(told.counted(NAMES, 1))) == (is_open, is_open)


def test_no_more_is_remembered_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left out is counted; who ends makes room."""
    monkeypatch.setattr(module, "NAMED_MAX", 2)
    told = told_by(of_key(1), of_key(2), of_key(1), of_key(3))
    assert (len(told.named("public.t")), told.left_out) == (2, 1)
    told.take(4, of_key(1, "resolved"))
    told.take(5, of_key(3))
    assert (of_key(3)["id"] in told.named("public.t"), told.left_out) == (True, 1)
