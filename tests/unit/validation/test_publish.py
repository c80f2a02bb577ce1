"""What of a run reaches the topics."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from streams.control.database import ControlUnavailable
from streams.validation import publish
from streams.validation.open import Pair
from streams.validation.report import Drifted, Report

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
PAIR = Pair("cache", "public.t")


class Opening:
    """Nothing but a writer that flushes, and who asked."""

    writer: Any
    by = "ada"
    plan = SimpleNamespace(sha256="ab", owner="shop-team", approver="data-governance")

    def __init__(self) -> None:
        self.writer = self
        self.flushed = False

    def flush(self) -> None:
        """Kafka has everything."""
        self.flushed = True


def row(state: str, offset: int, key: bytes | None = b"7", kind: str = "unapplied") -> dict[str, Any]:
    """An open drift as control knows it, told of last by this record of the drift topic's partition 1."""
    return {
        "id": "d1", "key_bytes": key, "kind": kind, "cause": "unknown", "state": state, "first_seen": NOON,
        "last_seen": NOON, "partition": 1, "offset": offset,
    }  # fmt: skip


def ended(monkeypatch: pytest.MonkeyPatch, known: dict[str, Any], found: Sequence[Drifted] = ()) -> list[str]:
    """The states that drift known at the end of a run is said to have then; the run began at offset 5."""
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(publish, "_known_open", lambda opener, pair: [known])
    monkeypatch.setattr(publish, "send_event", lambda opener, kind, event: sent.append(event))
    monkeypatch.setattr(Opening, "shape", lambda self, pair: SimpleNamespace(key_columns=("id",)), raising=False)
    opener: Any = Opening()
    report = Report("r", *reversed(PAIR), "checksums", 3, 3, verified=3 - len(found), drift=[*found])
    report.drift_before = [0, 5]
    publish.publish_report(opener, PAIR, report)
    drift = [event for event in sent if event.get("state") not in (None, "open")]
    assert all((event["run"], event["ends_before"]) == ("r", 5) for event in drift), drift
    return [event["state"] for event in drift]


@pytest.mark.parametrize("key", [b"7", None])
def test_a_run_ends_what_was_told_before_it_began(monkeypatch: pytest.MonkeyPatch, key: bytes | None) -> None:
    """What was told of while it went on may be about what it had looked at before: seen by none of its looks."""
    assert ended(monkeypatch, row("open", 4, key)) == ["superseded"]
    assert ended(monkeypatch, row("repaired", 4, key)) == ["resolved"]
    assert ended(monkeypatch, row("open", 5, key)) == []
    assert ended(monkeypatch, row("repaired", 5, key)) == []


def test_a_run_ends_only_what_it_found_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drift that no key names is over when no key is wrong."""
    found = [Drifted(b"7", "stale")]
    assert ended(monkeypatch, row("open", 4), found) == []
    assert ended(monkeypatch, row("open", 4, b"8"), found) == ["superseded"]
    assert ended(monkeypatch, row("open", 4, None, "continuity"), found) == []


def test_a_run_that_cannot_say_which_drift_it_ends_is_incomplete(monkeypatch: pytest.MonkeyPatch) -> None:
    """Control's database is away: the run is told all the same, and does not count as proof."""
    sent: list[tuple[str, dict[str, Any]]] = []

    def away(opener: Any, pair: Pair) -> Any:
        raise ControlUnavailable("The control database is away.", "Start it.")

    monkeypatch.setattr(publish, "_known_open", away)
    monkeypatch.setattr(publish, "send_event", lambda opener, kind, event: sent.append((kind, event)))
    opener: Any = Opening()
    report = Report("r", *reversed(PAIR), "checksums", 3, 3, verified=3)
    assert report.outcome == "correct"
    publish.publish_report(opener, PAIR, report)
    assert (report.outcome, opener.flushed) == ("incomplete", True)
    assert "The control database is away. Start it." in report.reason
    ((kind, signal),) = sent
    assert (kind, signal["type"], signal["detail"]["outcome"]) == ("signals", "run-finished", "incomplete")


def test_a_run_says_who_asked_and_under_which_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside its own fields; what is not known, as of a plan that was in no file, is left out."""
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(publish, "send_event", lambda opener, topic, event: sent.append(event))
    opener: Any = Opening()
    for sha256 in ("ab", ""):
        opener.plan = SimpleNamespace(sha256=sha256, owner="shop-team", approver="data-governance")
        publish.publish_report(opener, PAIR, Report("r", *reversed(PAIR), "counts", 3, 3, verified=3))
    first, second = (event["detail"] for event in sent)
    assert (first["who"], first["plan_hash"], first["owner"]) == ("ada", "ab", "shop-team")
    assert (first["approver"], first["verified"]) == ("data-governance", "3")
    assert "plan_hash" not in second
