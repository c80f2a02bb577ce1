"""Whether control runs, as Kafka's groups tell it, and what is said where they do not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from streams.cli import running
from streams.control import intake, materialise
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


def late(monkeypatch: pytest.MonkeyPatch, held: int | Exception, *taken: int) -> NotReady | None:
    """What `behind` says where the drift topic held so many records, and control has taken in so many, look by look."""
    looks = list(taken)

    def drift_held(plan: Any) -> dict[Any, Any]:
        if isinstance(held, Exception):
            raise held
        return {("drift", 0): (0, held)}

    def progress(database: Any) -> dict[Any, int]:
        return {("drift", 0): looks.pop(0) if len(looks) > 1 else looks[0]}

    monkeypatch.setattr(running, "runs", lambda plan, name: True)
    monkeypatch.setattr(running, "_drift_held", drift_held)
    monkeypatch.setattr(running, "INTAKE_SECONDS", 0.02)
    monkeypatch.setattr(intake, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(materialise, "progress", progress)
    unused: Any = SimpleNamespace()
    return running.behind(unused, unused, lambda text: None)


def test_control_is_waited_for_until_it_has_taken_in_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Right after a validation its database lacks keys: a list of them would be short."""
    assert late(monkeypatch, 3000, 2057, 2900, 3000) is None
    told = late(monkeypatch, 3000, 2057)
    assert told is not None
    assert told.exit_code == 3
    assert "943 records of drift" in told.what
    assert "what was found since is missing" in told.what


def test_kafka_that_goes_away_meanwhile_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where it was away before."""
    told = late(monkeypatch, AWAY, 0)
    assert told is not None
    assert (told.exit_code, told.hint) == (3, "Start it.")


def test_nobody_waits_for_control_that_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take nothing in."""
    monkeypatch.setattr(running, "runs", lambda plan, name: False)
    unused: Any = None
    told = running.behind(unused, unused, unused)
    assert told is not None
    assert "Control does not run" in told.what
