"""What is told of drift that continuous checking finds, and when it is repaired without being asked."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from streams.agents import findings
from streams.agents.findings import REPAIRS_MAX, RIGHT_AGAIN, WRONG_AGAIN, Findings
from streams.agents.repairs import REPAIRED, Done
from streams.agents.scrub import Judged
from streams.checks.compare import Content, Finding, Verdict
from streams.drift.names import Names
from streams.plan.policy import Drift
from streams.repair.storm import Storm
from streams.replicas.base import Held
from streams.versions.entry import Entry, Position, Token
from tests.support.works import SHAPE

ENTRY = Entry(Token(1, 5, 0), Position(1, 5), 7, (), b"d" * 16)


class Told:
    """Stands for the topics, and for the repairs, which do what they are told to."""

    def __init__(self, outcome: str = REPAIRED) -> None:
        self.drift: list[dict[str, Any]] = []
        self.results: list[dict[str, Any]] = []
        self.repaired: list[list[bytes]] = []
        self.outcome = outcome

    def send(self, topic: str, key: str, schema: str, record: dict[str, Any]) -> None:
        """An event."""
        (self.drift if topic == "drift" else self.results).append(record)

    async def flush(self) -> None:
        """They are there."""

    async def done(self, owner: Any, keys: Sequence[bytes]) -> dict[bytes, Done]:
        """A repair."""
        self.repaired.append(list(keys))
        return dict.fromkeys(keys, Done(self.outcome, ENTRY))

    @property
    def states(self) -> list[str]:
        """The steps that were told."""
        return [record["state"] for record in self.drift]


def _findings(
    told: Told, automatic: tuple[str, ...] = ("missing", "mismatch"), stop_above: int = 100, storm: int = 0
) -> Findings:
    repair = SimpleNamespace(automatic=automatic, stop_above=stop_above)
    mapping = SimpleNamespace(repair=repair, drift=Drift(flood_above=1_000), others_write=False)
    names = Names("r", "t", SHAPE.key_columns)
    work = SimpleNamespace(
        replica="r", table="t", shape=SHAPE, mapping=mapping, names=names, partitions=1, kind="redis"
    )
    owner: Any = SimpleNamespace(
        work=work, tp=SimpleNamespace(partition=3), state=SimpleNamespace(storm=storm, flood=0)
    )

    async def note_storm(at: int) -> None:
        owner.state.storm = at

    owner.note_storm = note_storm
    as_any: Any = told
    return Findings(owner, as_any, as_any, Storm(stop_above, 60.0), as_any)


def _wrong(key: bytes = b"1", kind: str = "mismatch") -> Judged:
    content = Content(ENTRY.token, b"x" * 16)
    finding = Finding(Verdict.suspected, kind)
    return Judged(key, ENTRY, Held(content.token, ("1", "b")), content, ("1", "a"), finding, agrees=True)


async def test_what_the_plan_repairs_is_told_step_by_step() -> None:
    """With the evidence at first; resolved only when a look has found it right."""
    told = Told()
    found = _findings(told)
    assert await found.wrong([_wrong()], 0.0) == [b"1"]
    assert told.states == ["open", "repairing", "repaired"]
    opened = told.drift[0]
    assert (opened["kind"], opened["cause"], opened["columns"]) == ("mismatch", "rogue write", ["value"])
    assert (opened["entry_digest"], opened["replica_digest"], opened["sot_digest"]) == (b"d" * 16, b"x" * 16, b"d" * 16)
    await found.right([b"1"], 0.0)
    assert told.states[-1] == "resolved"
    assert {record["repair"] for record in told.drift[1:]} == {told.results[0]["repair"]}
    assert (told.results[0]["outcome"], told.results[0]["partition"]) == ("repaired", 3)
    assert b"1" not in found


async def test_a_kind_that_the_plan_leaves_to_people_is_only_told() -> None:
    """And ends as superseded when it is right by itself."""
    told = Told()
    found = _findings(told)
    assert await found.wrong([_wrong(kind="orphan")], 0.0) == []
    await found.right([b"1"], 0.0)
    assert [(record["state"], record.get("reason")) for record in told.drift] == [
        ("open", None),
        ("superseded", RIGHT_AGAIN),
    ]
    assert told.repaired == []


async def test_more_drift_than_the_plan_allows_is_told_and_not_repaired() -> None:
    """Exactly as many keys as `stop_above` are repaired."""
    told = Told()
    found = _findings(told, stop_above=2)
    await found.wrong([_wrong(b"1"), _wrong(b"2")], 0.0)
    assert told.repaired == [[b"1", b"2"]]
    assert await found.wrong([_wrong(b"3")], 0.0) == []
    assert told.repaired == [[b"1", b"2"]]
    assert told.drift[-1]["state"] == "open"
    assert "more than 2 keys" in told.drift[-1]["reason"]


async def test_a_storm_waits_for_a_person_as_long_as_its_keys_are_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found again in each pass, by name or not: once they had been repaired without being asked, when it was over."""
    now = [1000.0]
    monkeypatch.setattr(findings, "time", SimpleNamespace(monotonic=lambda: now[0], time=lambda: 9e8 + now[0]))
    told = Told()
    found = _findings(told, stop_above=2)
    for _ in range(5):
        assert await found.wrong([_wrong(b"1"), _wrong(b"2"), _wrong(b"3")], 0.0) == []
        now[0] += 50.0
    assert told.repaired == []
    # Another process goes on: what it finds first is not repaired either, as long as the rest may be found again.
    again = _findings(told, stop_above=2, storm=found._owner.state.storm)
    assert await again.wrong([_wrong(b"1")], 0.0) == []
    now[0] += 61.0
    assert await again.wrong([_wrong(b"4")], 0.0) == [b"4"]


async def test_a_key_that_is_wrong_again_after_each_repair_is_left_to_people(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else goes on writing it: it is told, and not repaired for ever."""
    monkeypatch.setattr(findings, "AGAIN_SECONDS", 0.0)
    told = Told()
    found = _findings(told)
    for _ in range(REPAIRS_MAX + 2):
        await found.wrong([_wrong()], 0.0)
    assert len(told.repaired) == REPAIRS_MAX
    assert [record["reason"] for record in told.drift if record["state"] == "open"] == [
        None, *[WRONG_AGAIN] * REPAIRS_MAX, None,
    ]  # fmt: skip


async def test_a_repair_that_failed_leaves_its_drift_open_with_the_reason() -> None:
    """And the key is not waited for."""
    told = Told("refused: too long")
    found = _findings(told)
    assert await found.wrong([_wrong()], 0.0) == []
    assert (told.states, told.drift[-1]["reason"]) == (["open", "repairing", "open"], "the repair refused: too long")


async def test_what_is_seen_again_is_not_told_at_every_look() -> None:
    """Each pass would tell of it, and a thousand passes do not make it another drift."""
    told = Told()
    found = _findings(told, automatic=())
    await found.wrong([_wrong()], 0.0)
    await found.wrong([_wrong()], 0.0)
    assert told.states == ["open"]


async def test_a_repair_that_is_ordered_meanwhile_is_told_of_by_whoever_ordered_it() -> None:
    """Between two looks, and while ours is under way: we tell nothing more, and nothing fails."""
    told = Told()
    found = _findings(told)

    async def ordered(owner: Any, keys: Sequence[bytes]) -> dict[bytes, Done]:
        found.forget(keys)
        return dict.fromkeys(keys, Done(REPAIRED, ENTRY))

    told.done = ordered  # type: ignore[method-assign]
    await found.wrong([_wrong()], 0.0)
    assert told.states == ["open", "repairing"]
    await found.right([b"1"], 0.0)
    assert told.states == ["open", "repairing"]


async def test_whoever_orders_a_repair_tells_of_it() -> None:
    """Two who tell would contradict each other."""
    told = Told()
    found = _findings(told, automatic=())
    await found.wrong([_wrong()], 0.0)
    found.forget([b"1", b"2"])
    assert b"1" not in found
