"""Open drift is looked at again: what is right is over, what is not was seen again, and nothing else is touched."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from streams.drift.names import Names
from streams.errors import NotReady
from streams.validation import recheck
from streams.validation.open import Pair
from streams.validation.report import Drifted, Report

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
PAIR = Pair("cache", "public.t")


def row(key: bytes | None, state: str = "open", **more: Any) -> dict[str, Any]:
    """A drift as control knows it, on partition 1 of its topic."""
    known = {
        "id": f"d{key!r}", "replica": "cache", "table": "public.t", "key": key and {"id": key.decode()},
        "key_bytes": key, "key_hidden": False, "kind": "stale", "cause": "unknown", "keys": 1, "causes": {},
        "state": state, "first_seen": NOON, "last_seen": NOON, "at": NOON, "partition": 1, "offset": 3,
    }  # fmt: skip
    return known | more


def rechecked(
    monkeypatch: pytest.MonkeyPatch, known: list[dict[str, Any]], report: Report | Exception
) -> tuple[list[recheck.Recheck], list[list[bytes]], list[dict[str, Any]]]:
    """The answers, the keys that were looked at, and what was told."""
    sent: list[dict[str, Any]] = []
    looked: list[list[bytes]] = []
    target = SimpleNamespace(drift_ends=lambda: [3, 5])
    opener: Any = SimpleNamespace(
        target=lambda pair: nullcontext(target), names=lambda pair: Names(*PAIR, ["id"]),
        writer=SimpleNamespace(flush=int),
    )  # fmt: skip

    def look(target: Any, keys: list[bytes]) -> Report:
        looked.append(keys)
        if isinstance(report, Exception):
            raise report
        return report

    monkeypatch.setattr(recheck, "known_open", lambda opener, pair: known)
    monkeypatch.setattr(recheck, "validate_keys", look)
    monkeypatch.setattr(recheck, "send_event", lambda opener, topic, event: sent.append(event))
    return list(recheck.recheck(opener, [PAIR], lambda said: None)), looked, sent


def _report(**found: Any) -> Report:
    return Report("run", "public.t", "cache", "keys", **found)


def test_what_is_right_is_over_and_what_is_wrong_was_seen_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was told after the look began stays open."""
    known = [row(b"1"), row(b"2"), row(b"3")]
    report = _report(verified=1, superseded=1, drift=[Drifted(b"2", "missing")], moving={b"3"})
    (found,), looked, sent = rechecked(monkeypatch, known, report)
    assert (found.keys, found.ended, found.wrong, found.undecided, found.left) == (3, 1, 1, 1, 0)
    assert looked == [[b"1", b"2", b"3"]]
    assert [(event["key_bytes"], event["state"], event["kind"]) for event in sent] == [
        (b"2", "open", "missing"), (b"1", "superseded", "stale"),
    ]  # fmt: skip
    assert (sent[1]["ends_before"], sent[1]["run"]) == (5, "run")


def test_only_open_drift_of_keys_that_are_known_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not what is accepted or being repaired, what hides its key, nor what is of the table as a whole."""
    known = [
        row(b"1", "accepted"),
        row(b"2", "repairing", at=datetime.now(UTC)),
        row(b"3", key_hidden=True),
        row(None),
        row(b"4"),
    ]
    (found,), looked, sent = rechecked(monkeypatch, known, _report(verified=1))
    assert (looked, found.keys, found.ended, found.left) == ([[b"4"]], 1, 1, 2)
    assert [event["key_bytes"] for event in sent] == [b"4"]
    assert rechecked(monkeypatch, [row(b"1", "accepted")], _report()) == ([], [], [])


def test_a_repair_whose_end_nobody_told_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker, or a command, was killed in the middle of it: minutes later the key is looked at, and is right."""
    known = [row(b"1", "repairing"), row(b"2", "repaired"), row(b"3", "repaired", at=datetime.now(UTC))]
    _, looked, sent = rechecked(monkeypatch, known, _report(verified=2))
    assert looked == [[b"1", b"2"]]
    assert [(event["key_bytes"], event["state"]) for event in sent] == [(b"1", "resolved"), (b"2", "resolved")]


def test_what_cannot_be_looked_at_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is there who could answer, or the look came to no end; the reason is told."""
    (found,), _, sent = rechecked(monkeypatch, [row(b"1")], NotReady("no worker", ""))
    assert (found.ended, found.undecided, found.reason, sent) == (0, 1, "no worker", [])
    (found,), _, sent = rechecked(monkeypatch, [row(b"1")], _report(reason="held", failed=1))
    assert (found.ended, found.undecided, found.reason, sent) == (0, 1, "held", [])
