"""What was planted, found and reported for nothing is counted as the interface document says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from streams.bench.ledger import Ledger, Planted


def event(state: str, key: int | None, at: float, **more: Any) -> dict[str, Any]:
    named = None if key is None else {"id": str(key)}
    return {"id": "x", "state": state, "key": named, "kind": "mismatch", "at": datetime.fromtimestamp(at, UTC), **more}


def planted(*keys: int, at: float = 100.0) -> Ledger:
    ledger = Ledger()
    for key in keys:
        ledger.plant(Planted(key, "scrubbed", "changed", at))
    return ledger


def test_a_fault_is_found_by_the_first_open_after_it() -> None:
    """Detection counts from planting to the event's own time; when we read it is another figure."""
    ledger = planted(1, 2)
    ledger.take(event("suspected", 1, 101.0), 101.1)
    ledger.take(event("open", 1, 102.0), 102.5)
    ledger.take(event("open", 1, 110.0), 110.5)
    found = ledger.planted[1]
    assert (found.detection_seconds, found.heard_seconds, found.ended_seconds) == (2.0, 2.5, None)
    assert [fault.key for fault in ledger.unfound()] == [2]
    assert ledger.to_judge() == []


def test_a_suspicion_finds_nothing_and_accuses_nobody() -> None:
    """Only what reaches `open` counts, on either side."""
    ledger = planted(1)
    for key in (1, 7):
        ledger.take(event("suspected", key, 101.0), 101.0)
        ledger.take(event("superseded", key, 102.0), 102.0)
    assert [fault.key for fault in ledger.unfound()] == [1]
    assert (ledger.stray, ledger.planted[1].ended) == (0, None)


def test_an_open_of_a_key_nobody_touched_goes_to_the_judge() -> None:
    """Once per life of it, with what the event says; so does drift of the table as a whole."""
    ledger = planted(1)
    for at in (101.0, 102.0):
        ledger.take(event("open", 7, at, replica_token=b"\x01"), at)
    ledger.take(event("open", None, 103.0), 103.0)
    judged = ledger.to_judge()
    assert [opened.key for opened in judged] == [7, None]
    assert judged[0].told["replica_token"] == "01"
    ledger.take(event("resolved", 7, 104.0), 104.0)
    ledger.take(event("open", 7, 105.0), 105.0)
    assert [opened.key for opened in ledger.to_judge()] == [7]
    assert ledger.stray == 3


def test_an_open_from_before_the_fault_is_not_the_fault() -> None:
    """The key was right at that moment."""
    ledger = planted(1, at=100.0)
    ledger.take(event("open", 1, 99.0), 100.2)
    assert [opened.key for opened in ledger.to_judge()] == [1]
    assert [fault.key for fault in ledger.unfound()] == [1]


def test_a_fault_that_ended_and_is_opened_again_is_counted() -> None:
    """A step back from `repairing` to `open` is the same life; what comes after an end is another."""
    ledger = planted(1)
    for state, at in (("open", 101.0), ("repairing", 102.0), ("open", 103.0), ("repaired", 104.0), ("resolved", 105.0)):
        ledger.take(event(state, 1, at), at)
    assert (ledger.opened_again, ledger.planted[1].ended_seconds) == (0, 5.0)
    ledger.take(event("open", 1, 106.0), 106.0)
    assert ledger.opened_again == 1
    assert [opened.again for opened in ledger.to_judge()] == [True]
