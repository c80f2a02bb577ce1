"""What is told when a backfill of a range is over: the drift in it that its run has found gone."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from streams.drift.names import Names
from streams.rows.canonical import encode
from streams.validation import backfilling
from streams.validation.backfilling import Order, Progress, end
from streams.validation.open import Pair
from streams.validation.report import Drifted, Report

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
PAIR = Pair("cache", "public.t")
KEYS = [encode([str(number)]) for number in (1, 2, 3)]
RANGE = (KEYS[0], KEYS[2])


def drift(key: bytes, kind: str) -> dict[str, Any]:
    """As control knows it while it is repaired."""
    return {
        "id": key.hex(), "key": {"id": "1"}, "key_bytes": key, "key_hidden": False, "kind": kind, "cause": "unknown",
        "keys": 1, "causes": {}, "state": "repairing", "first_seen": NOON, "last_seen": NOON, "at": NOON,
    }  # fmt: skip


def ended(
    monkeypatch: pytest.MonkeyPatch, known: list[dict[str, Any]], *, left: list[bytes], found: Report
) -> tuple[list[bytes], list[tuple[bytes, str]]]:
    """The keys that were looked at, and the steps of drift that were told. left: of the source and of the replica."""
    looked: list[list[bytes]] = []
    sent: list[dict[str, Any]] = []
    sot = SimpleNamespace(
        keys_after=lambda after, limit, between: [] if after else left, within=lambda keys, between: keys
    )
    target: Any = SimpleNamespace(sot=sot, store=SimpleNamespace(keys=lambda limit: [left]))
    opener: Any = SimpleNamespace(
        names=lambda pair: Names(*PAIR, ["id"]), writer=SimpleNamespace(flush=int, send=lambda *_: None),
        plan=SimpleNamespace(own_topic=str), source="tests",
    )  # fmt: skip

    def look(target: Any, keys: list[bytes]) -> Report:
        looked.append(keys)
        return found

    monkeypatch.setattr(backfilling, "_drift_in", lambda opener, target, order: known)
    monkeypatch.setattr(backfilling, "validate_keys", look)
    monkeypatch.setattr(backfilling, "send_event", lambda opener, topic, event: sent.append(event))
    end(opener, target, Order("backfill-1", PAIR, RANGE, "ann", "a test", 3), Progress(1), lambda: None)
    (keys,) = looked
    return sorted(keys), [(event["key_bytes"], event["state"]) for event in sent]


def test_the_drift_of_a_row_that_was_removed_is_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither source nor replica have its key any more: it is looked at because it was in drift."""
    known = [drift(KEYS[0], "missing"), drift(KEYS[1], "orphan")]
    found = Report("run", "public.t", "cache", "keys", verified=3)
    looked, told = ended(monkeypatch, known, left=[KEYS[0], KEYS[2]], found=found)
    assert looked == KEYS
    assert told == [(key, state) for state in ("repaired", "resolved") for key in KEYS[:2]]


def test_what_is_wrong_again_is_not_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is open, as the run has seen it."""
    wrong = Drifted(KEYS[0], "stale")
    found = Report("run", "public.t", "cache", "keys", verified=2, drift=[wrong])
    _, told = ended(monkeypatch, [drift(KEYS[0], "missing")], left=KEYS, found=found)
    assert told == [(KEYS[0], "repaired"), (KEYS[0], "open")]
