"""What of a run reaches the topics."""

from __future__ import annotations

from typing import Any

import pytest

from streams.control.database import ControlUnavailable
from streams.validation import publish
from streams.validation.open import Pair
from streams.validation.report import Report

PAIR = Pair("cache", "public.t")


class Opening:
    """Nothing but a writer that flushes."""

    writer: Any

    def __init__(self) -> None:
        self.writer = self
        self.flushed = False

    def flush(self) -> None:
        """Kafka has everything."""
        self.flushed = True


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
