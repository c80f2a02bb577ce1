"""What of a run reaches the topics."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from streams.control.database import ControlUnavailable
from streams.drift.flood import flood_id
from streams.drift.names import Names
from streams.validation import publish
from streams.validation.open import Pair
from streams.validation.report import Drifted, Report

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
PAIR = Pair("cache", "public.t")
NAMES = Names(*PAIR, ["id"])


class Opening:
    """What is needed to publish, with a writer that flushes and does nothing else, and who asked."""

    writer: Any
    by = "ada"
    plan: Any = SimpleNamespace(
        sha256="ab", owner="shop-team", approver="data-governance", own_topic=lambda name: f"holdtrue.{name}"
    )
    source = "/test"

    def __init__(self, flood_above: int = 1000, secret: bytes | None = None) -> None:
        self.writer = self
        self.flushed = False
        self._flood_above = flood_above
        self._secret = secret
        # Requests to the owners of partitions: (topic, record).
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def names(self, pair: Pair) -> Names:
        """How drift is named."""
        return NAMES._replace(secret=self._secret)

    def mapping(self, pair: Pair) -> Any:
        """What the plan decides."""
        return SimpleNamespace(drift=SimpleNamespace(flood_above=self._flood_above))

    def partitioner(self, pair: Pair) -> Any:
        """Even keys are in partition 0, odd ones in 1."""
        return SimpleNamespace(partition=lambda key: int(key) % 2)

    def send(self, topic: str, key: str, schema: str, record: dict[str, Any], headers: Any, partition: int) -> None:
        """A request."""
        assert (schema, record["partition"]) == ("check-request", partition)
        self.asked.append((topic, record))

    def flush(self) -> None:
        """Kafka has everything."""
        self.flushed = True


def row(state: str, offset: int, key: bytes | None = b"7", kind: str = "unapplied") -> dict[str, Any]:
    """An open drift as control knows it, told of last by this record of the drift topic's partition 1."""
    return {
        "id": NAMES.id(key) if key is not None else "d1", "key": key and {"id": "7"}, "key_bytes": key,
        "key_hidden": False, "kind": kind, "cause": "unknown", "keys": 1, "causes": {}, "state": state,
        "first_seen": NOON, "last_seen": NOON, "at": datetime.now(UTC), "partition": 1, "offset": offset,
    }  # fmt: skip


def ended(monkeypatch: pytest.MonkeyPatch, known: dict[str, Any], found: Sequence[Drifted] = ()) -> list[str]:
    """The states that drift known at the end of a run is said to have then; the run began at offset 5."""
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(publish, "known_open", lambda opener, pair: [known])
    monkeypatch.setattr(publish, "send_event", lambda opener, kind, event: sent.append(event))
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

    monkeypatch.setattr(publish, "known_open", away)
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


def published(
    monkeypatch: pytest.MonkeyPatch, opener: Opening, known: Sequence[dict[str, Any]], found: Sequence[Drifted],
    superseded: int = 0,
) -> list[dict[str, Any]]:  # fmt: skip
    """The drift events of a run that began at offset 5 and has looked at every key, but for those that moved."""
    sent: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(publish, "known_open", lambda opener, pair: known)
    monkeypatch.setattr(publish, "send_event", lambda opener, topic, event: sent.append((topic, event)))
    report = Report("r", *reversed(PAIR), "checksums", 9, 9, verified=9 - len(found), drift=[*found])
    report.drift_before, report.superseded = [0, 5], superseded
    publish.publish_report(opener, PAIR, report)  # type: ignore[arg-type]
    return [event for topic, event in sent if topic == "drift"]


def test_a_run_tells_the_first_keys_and_counts_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it told before stays open; what it counted before it counts anew, and owners know that it did."""
    found = [Drifted(b"%d" % number, "missing", cause="gone") for number in range(5)]
    opening = Opening(2)
    first = published(monkeypatch, opening, [], found)
    assert [(topic, each["depth"], each["partition"]) for topic, each in opening.asked] == [
        ("holdtrue.checks.cache.public.t", "counted", 0), ("holdtrue.checks.cache.public.t", "counted", 1),
    ]  # fmt: skip
    assert [event["key_bytes"] for event in first if event.get("key_bytes")] == [b"0", b"1"]
    counted = {event["id"]: (event["keys"], event["causes"]) for event in first if not event.get("key_bytes")}
    assert counted == {
        flood_id(NAMES, "missing", 0): (2, {"gone": 2}), flood_id(NAMES, "missing", 1): (1, {"gone": 1})
    }  # fmt: skip
    known = [{**row("open", 4), **event, "key": None} for event in first]
    again = published(monkeypatch, Opening(2), known, found[1:])
    assert [(event["state"], event.get("key_bytes"), event.get("keys", 1)) for event in again] == [
        ("open", b"1", 1), ("open", b"2", 1), ("open", None, 1), ("open", None, 1), ("superseded", b"0", 1),
    ]  # fmt: skip
    assert len({event["id"] for event in (*first, *again)}) == 5


def test_a_run_that_has_not_looked_at_every_key_makes_no_number_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it counts is a part; where it is more than was known, it is told."""
    found = [Drifted(b"%d" % number, "missing", cause="gone") for number in range(5)]
    first = published(monkeypatch, Opening(0), [], found)
    known = [{**row("open", 4), **event, "key": None} for event in first]
    for superseded, expected in ((0, [1, 2]), (1, [3, 2])):
        again = published(monkeypatch, Opening(0), known, [*found[:2], found[3]], superseded=superseded)
        assert [event["keys"] for event in again] == expected
    more = published(monkeypatch, Opening(0), known, [*found, Drifted(b"6", "missing", cause="x")], superseded=1)
    assert [(event["keys"], event["causes"]) for event in more] == [(4, {"gone": 3, "x": 1}), (2, {"gone": 2})]


def test_a_flood_ends_when_a_run_of_every_key_tells_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or finds none; not one that was told while the run went on."""
    flood = {**row("open", 4, None, "missing"), "id": "flood", "keys": 70, "causes": {"unknown": 70}}
    found = [Drifted(b"1", "missing")]
    ends = [event for event in published(monkeypatch, Opening(), [flood], found) if event["state"] != "open"]
    assert [(event["id"], event["state"], event["keys"]) for event in ends] == [("flood", "superseded", 70)]
    assert [event["state"] for event in published(monkeypatch, Opening(), [flood], [])] == ["superseded"]
    assert published(monkeypatch, Opening(), [flood | {"offset": 5}], []) == []


def test_drift_known_under_another_name_ends_when_it_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan hides keys since: the same key has another id now, and is not open twice."""
    events = published(monkeypatch, Opening(secret=b"s"), [row("open", 4)], [Drifted(b"7", "stale")])
    assert [(event["state"], event.get("key_hidden")) for event in events] == [("open", True), ("superseded", False)]
    assert events[1]["key"] == {"id": "7"}


def test_what_is_being_repaired_is_not_ended_by_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The repair ends it, unless it says nothing for long; what was accepted is over like anything else."""
    assert published(monkeypatch, Opening(), [row("repairing", 4)], []) == []
    silent = row("repairing", 4) | {"at": NOON}
    assert [event["state"] for event in published(monkeypatch, Opening(), [silent], [])] == ["superseded"]
    assert [event["state"] for event in published(monkeypatch, Opening(), [row("accepted", 4)], [])] == ["superseded"]
