"""Whether control runs, as Kafka's groups tell it, and what is said where they do not."""

from __future__ import annotations

from typing import Any

import pytest

from streams.cli import running
from streams.errors import NotReady
from streams.kafka.admin import KafkaUnavailable

AWAY = KafkaUnavailable("Kafka at h:1 did not answer.", "Start it.")


def said(monkeypatch: pytest.MonkeyPatch, found: bool | Exception) -> NotReady | None:
    """What is to be said where the group has, or has not, members, or cannot be asked."""

    def runs(plan: Any, name: str) -> bool:
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(running, "runs", runs)
    plan: Any = None
    return running.without_control(plan)


def test_that_control_may_not_run_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was asked for is there, and may be old: exit 3, with what to do about Kafka."""
    told = said(monkeypatch, AWAY)
    assert told is not None
    assert (told.exit_code, told.hint) == (3, "Start it.")
    assert "Whether control runs is not known" in told.what
    assert "Kafka at h:1 did not answer" in told.what


def test_control_that_runs_needs_no_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that does not is to be started."""
    told = said(monkeypatch, found=False)
    assert (said(monkeypatch, found=True), told and told.hint) == (None, "Start it: holdtrue worker --control")
