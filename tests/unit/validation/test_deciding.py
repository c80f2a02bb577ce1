"""A drift is closed by hand only where a look finds its key right."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from streams.drift.names import Names
from streams.errors import HoldtrueError, NotReady, UsageError
from streams.validation import deciding
from streams.validation.hidden import GONE
from streams.validation.open import Pair
from streams.validation.report import Drifted, Report

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
PAIR = Pair("cache", "public.t")
NAMES = Names(*PAIR, ["id"])
HIDING = NAMES._replace(secret=b"s")
PLAN: Any = SimpleNamespace(replicas={"cache": SimpleNamespace(tables={"public.t": None})}, name="bank")


def row(state: str = "open", key: bytes | None = b"7", **more: Any) -> dict[str, Any]:
    """A drift as control knows it, on partition 1 of its topic."""
    known = {
        "id": "d1", "replica": "cache", "table": "public.t", "key": key and {"id": "7"}, "key_bytes": key,
        "key_hidden": False, "kind": "stale", "cause": "unknown", "keys": 1, "causes": {}, "state": state,
        "first_seen": NOON, "last_seen": NOON, "partition": 1,
    }  # fmt: skip
    return known | more


def closed(
    monkeypatch: pytest.MonkeyPatch, known: dict[str, Any], *, keys: Any = (), looks: Any = None, **found: Any
) -> tuple[list[dict[str, Any]], HoldtrueError | None]:
    """What is told when it is to be closed and the looks find this, and why it is not closed. looks: which are made."""
    sent: list[dict[str, Any]] = []
    rows = [SimpleNamespace(key=key) for key in keys]
    target = SimpleNamespace(
        drift_ends=lambda: [3, 5], partitions=1, sot=SimpleNamespace(scanning=lambda: nullcontext(rows)),
        store=SimpleNamespace(keys=lambda chunk: [[None, b"9"]]),
    )  # fmt: skip
    opener: Any = SimpleNamespace(
        plan=PLAN,
        target=lambda pair: nullcontext(target),
        names=lambda pair: NAMES,
        hiding_names=lambda pair: HIDING,
        writer=SimpleNamespace(flush=int),
    )
    report = Report("run", "public.t", "cache", "keys", **found)
    asked: list[bytes] = []
    monkeypatch.setattr(deciding, "validate_keys", lambda target, keys: asked.extend(keys) or report)
    monkeypatch.setattr(deciding, "send_event", lambda opener, topic, event: sent.append(event))
    try:
        deciding.close(opener, known, "ada", "a bad deploy")
    except HoldtrueError as error:
        return sent, error
    assert asked == ([keys[-1] if keys else b"7"] if looks is None else looks)
    return sent, None


def test_a_hidden_key_is_found_again_to_be_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Among those of source and replica; one that is nowhere any more is right."""
    hidden = row(key=HIDING.shown(b"8"), key_hidden=True) | {"key": None}
    (event,), error = closed(monkeypatch, hidden, keys=[b"7", b"8"], verified=1)
    assert error is None
    assert (event["state"], event["key"], event["key_bytes"], event["key_hidden"]) == (
        "resolved", None, HIDING.shown(b"8"), True,
    )  # fmt: skip


def test_a_hidden_key_that_nobody_has_any_more_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """Source and replica are alike in it; what is told after the look began stays open."""
    hidden = row(key=HIDING.shown(b"8"), key_hidden=True) | {"key": None}
    (event,), error = closed(monkeypatch, hidden, keys=[b"7"], looks=[])
    assert error is None
    assert (event["state"], event["ends_before"], event["key_bytes"]) == ("resolved", 5, HIDING.shown(b"8"))
    assert event["reason"] == f"a bad deploy ({GONE})"


@pytest.mark.parametrize("state", ["suspected", "open", "repairing", "repaired", "accepted"])
def test_a_key_that_is_right_is_resolved_with_its_root_cause(monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    """Who closed it and why are in the event; what is told after the looks began stays open."""
    (event,), error = closed(monkeypatch, row(state), verified=1)
    assert error is None
    assert (event["id"], event["state"], event["reason"], event["ordered_by"]) == (
        "d1", "resolved", "a bad deploy", "ada",
    )  # fmt: skip
    assert (event["run"], event["ends_before"], event["key"]) == ("run", 5, {"id": "7"})


def test_a_key_that_is_wrong_is_not_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told as seen once more, with what the look found."""
    (event,), error = closed(monkeypatch, row(), drift=[Drifted(b"7", "mismatch", cause="rogue write")])
    assert (event["state"], event["kind"], event["key_bytes"]) == ("open", "mismatch", b"7")
    assert isinstance(error, NotReady)
    assert "mismatch, rogue write" in str(error)


@pytest.mark.parametrize("found", [{"reason": "no answer"}, {"skipped": 1}, {"superseded": 1, "moving": {b"7"}}])
def test_a_key_of_which_nothing_is_known_is_not_closed(monkeypatch: pytest.MonkeyPatch, found: dict[str, Any]) -> None:
    """No verdict is no proof."""
    sent, error = closed(monkeypatch, row(), **found)
    assert sent == []
    assert isinstance(error, NotReady)


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (row("resolved"), "has ended"),
        (row("superseded"), "has ended"),
        (row(key=None, kind="continuity"), "holdtrue validate --table public.t --replica cache"),
        (row(key=None, causes={"x": 7}, keys=7), "of the table"),
        (row(table="public.gone"), "does not copy"),
    ],
)
def test_what_no_look_at_a_key_can_close_is_refused(
    monkeypatch: pytest.MonkeyPatch, known: dict[str, Any], said: str
) -> None:
    """Continuity, and keys that are only counted, are closed by a full run."""
    sent, error = closed(monkeypatch, known, verified=1)
    assert sent == []
    assert isinstance(error, UsageError)
    assert said in str(error)


@pytest.mark.parametrize("state", ["suspected", "repairing", "repaired", "resolved", "superseded"])
def test_only_what_is_open_can_be_accepted(state: str) -> None:
    """A repair that is under way decides by itself; what has ended is over."""
    with pytest.raises(UsageError, match=state):
        deciding.accept(PLAN, row(state), "ada", "known", NOON + timedelta(days=1))
