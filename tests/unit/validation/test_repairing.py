"""Resolved is only what the check after a repair has found right."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from streams.drift.identity import drift_id
from streams.drift.names import Names
from streams.errors import UsageError
from streams.repair.file import Item
from streams.validation import repairing
from streams.validation.open import Pair
from streams.validation.repairing import Order, Outcome, _repair_pair, _request_items, _with_keys, apply_plan, proven
from streams.validation.report import Drifted, Report

KEYS = [b"1", b"2", b"3"]


def checked(**found: Any) -> Report:
    """The check after a repair of KEYS."""
    return Report("run", "public.t", "cache", "keys", **found)


def test_what_is_found_right_isproven() -> None:
    """All of it."""
    assert proven(KEYS, checked(verified=3)) == KEYS


def test_a_key_that_is_wrong_or_moving_is_notproven_and_the_others_are() -> None:
    """One busy key says nothing of the others."""
    assert proven(KEYS, checked(verified=2, drift=[Drifted(b"2", "stale")])) == [b"1", b"3"]
    assert proven(KEYS, checked(verified=2, superseded=1, moving={b"3"})) == [b"1", b"2"]


@pytest.mark.parametrize("found", [{"reason": "no answer"}, {"failed": 1}, {"skipped": 1}])
def test_a_check_without_a_verdict_proves_nothing(found: dict[str, Any]) -> None:
    """Nor does one that was never made."""
    assert proven(KEYS, checked(verified=2, **found)) == []
    assert proven(KEYS, None) == []


def test_onlyproven_keys_are_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of keys that their owner repaired: one is right, one is wrong again, one keeps changing."""
    said: list[tuple[str, list[bytes], set[str]]] = []
    report = checked(verified=1, drift=[Drifted(b"2", "stale", cause="rogue write")], superseded=1, moving={b"3"})
    answers = {key: {"outcome": "repaired", "reason": None} for key in KEYS}
    monkeypatch.setattr(repairing, "_states", lambda *_: {})
    monkeypatch.setattr(repairing, "_ask_owners", lambda *_: answers)
    monkeypatch.setattr(repairing, "validate_keys", lambda target, keys: report)
    monkeypatch.setattr(
        repairing,
        "_publish",
        lambda o, p, drift, state, *_, **more: said.append(
            (state, [each.key for each in drift], {each.cause for each in drift})
        ),
    )
    partitioner = SimpleNamespace(partition=lambda key: 0)
    opener: Any = SimpleNamespace(target=lambda pair: nullcontext(SimpleNamespace(partitioner=partitioner)))
    items = [
        Item(f"d{key!r}", "cache", "public.t", key.hex(), {"id": key.decode()}, "stale", "missed change", "")
        for key in KEYS
    ]
    done = _repair_pair(opener, Pair("cache", "public.t"), items, Order("me", "", ""))
    # A step says why as the file does; the check after the repair has looked itself.
    known = {"missed change"}
    assert said == [
        ("open", [], set()),
        ("repairing", KEYS, known),
        ("repaired", KEYS, known),
        ("open", [], set()),
        ("resolved", [b"1"], known),
        ("open", [b"2"], {"rogue write"}),
    ]
    assert (done.repaired, done.resolved, done.failed) == (3, 1, 0)
    why = {failure.key["id"]: failure.reason for failure in done.failures}
    assert why["2"] == "found wrong again after the repair"
    assert "it kept changing" in why["3"]


def storm(
    monkeypatch: pytest.MonkeyPatch, limits: dict[str, int], keys: dict[str, int], *, allowed: bool = False
) -> tuple[list[str], UsageError | None]:
    """A repair of so many keys of each table; the tables that were begun, and why it was refused."""
    tables = {table: SimpleNamespace(repair=SimpleNamespace(stop_above=limit)) for table, limit in limits.items()}
    plan = SimpleNamespace(name="bank", replicas={"cache": SimpleNamespace(tables=tables)})
    begun: list[str] = []

    def repair(opener: Any, pair: Pair, items: list[Item], order: Order) -> Outcome:
        begun.append(pair.table)
        return Outcome("", pair.replica, pair.table, len(items), 0, 0, 0)

    monkeypatch.setattr(repairing, "_repair_pair", repair)
    items = [
        Item(f"{table}{n}", "cache", table, "", {}, "stale", "", "")
        for table, count in keys.items()
        for n in range(count)
    ]
    opener: Any = SimpleNamespace(plan=plan)
    repairs: Any = SimpleNamespace(plan="bank", items=items, hash="h")
    try:
        list(apply_plan(opener, repairs, "me", "", above_threshold=allowed))
    except UsageError as error:
        return begun, error
    return begun, None


def test_more_keys_than_the_plan_allows_are_refused_before_anything_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one table, however many others there are, and also where those come first in the file."""
    begun, refused = storm(monkeypatch, {"public.a": 9, "public.b": 2}, {"public.a": 9, "public.b": 3})
    assert begun == []
    assert refused is not None
    assert refused.exit_code == 2
    assert refused.what == "3 keys of public.b in cache would be repaired; the plan stops above 2."
    assert "--above-threshold" in refused.hint


def test_as_many_keys_as_the_plan_allows_are_repaired_and_more_where_they_are_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The threshold stops and asks; it does not forbid."""
    limits = {"public.a": 2, "public.b": 2}
    assert storm(monkeypatch, limits, {"public.a": 2, "public.b": 2}) == (["public.a", "public.b"], None)
    more = {"public.a": 3, "public.b": 30}
    assert storm(monkeypatch, limits, more, allowed=True) == (["public.a", "public.b"], None)


def test_a_table_that_the_plan_does_not_copy_is_refused_whatever_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is of another time."""
    begun, refused = storm(monkeypatch, {"public.a": 2}, {"public.a": 1, "public.gone": 1}, allowed=True)
    assert begun == []
    assert refused is not None
    assert refused.what == "The plan does not copy public.gone to cache."


class Drifts:
    """A control database that knows these drifts."""

    def __init__(self, **states: str) -> None:
        self._states = states
        self.asked: list[set[str]] = []

    def rows(self, name: str, values: dict[str, list[str]]) -> list[dict[str, str]]:
        """Of those that are asked for."""
        self.asked.append(set(values["ids"]))
        return [{"id": drift, "state": state} for drift, state in self._states.items() if drift in values["ids"]]


def applied(
    monkeypatch: pytest.MonkeyPatch, control: Drifts | None, report: Report, said: list[Any] | None = None
) -> tuple[Outcome, list[bytes]]:
    """A repair of KEYS, whose checks find what the report says; the outcome, and what was ordered.

    said: gets each state that is published, with its keys.
    """

    def publish(o: Any, p: Any, drift: Any, state: str, *_: Any, **more: Any) -> None:
        if said is not None:
            said.append((state, [each.key for each in drift]))

    ordered: list[bytes] = []

    def ask(o: Any, t: Any, p: Any, r: Any, grouped: dict[int, list[Item]], order: Any) -> dict[bytes, Any]:
        ordered.extend(bytes.fromhex(item.key) for mine in grouped.values() for item in mine)
        return {key: {"outcome": "repaired", "reason": None} for key in ordered}

    monkeypatch.setattr(repairing, "opened", lambda plan: nullcontext(control))
    monkeypatch.setattr(repairing, "_ask_owners", ask)
    monkeypatch.setattr(repairing, "validate_keys", lambda target, keys: report)
    monkeypatch.setattr(repairing, "_publish", publish)
    target = SimpleNamespace(partitioner=SimpleNamespace(partition=lambda key: 0))
    writer = SimpleNamespace(flush=int)
    opener: Any = SimpleNamespace(target=lambda pair: nullcontext(target), plan=None, writer=writer)
    items = [
        Item(key.decode(), "cache", "public.t", key.hex(), {"id": key.decode()}, "stale", "missed change", "")
        for key in KEYS
    ]
    return _repair_pair(opener, Pair("cache", "public.t"), items, Order("me", "", "")), ordered


def test_a_key_whose_drift_has_ended_and_that_is_right_is_not_ordered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left to repair of a file that was applied before."""
    done, ordered = applied(monkeypatch, Drifts(**{"1": "resolved", "2": "superseded", "3": "resolved"}), checked())
    assert (done.ordered, done.unchanged, done.repaired, done.resolved, done.failed) == (3, 3, 0, 0, 0)
    assert ordered == []


def test_a_key_that_is_wrong_again_or_still_open_is_ordered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever control knows of it: a look decides, and one that comes to no verdict spares nobody."""
    control = Drifts(**{"1": "resolved", "2": "resolved", "3": "open"})
    done, ordered = applied(monkeypatch, control, checked(drift=[Drifted(b"2", "stale")]))
    assert (done.unchanged, done.repaired, ordered) == (1, 2, [b"2", b"3"])
    done, ordered = applied(monkeypatch, control, checked(reason="no answer"))
    assert (done.unchanged, ordered) == (0, KEYS)
    done, ordered = applied(monkeypatch, None, checked())
    assert (done.unchanged, ordered) == (0, KEYS)


def test_a_key_that_is_wrong_again_begins_a_new_life_before_it_is_repaired(monkeypatch: pytest.MonkeyPatch) -> None:
    """From an ended drift no repair follows: the trail would refuse every step of it."""
    said: list[Any] = []
    control = Drifts(**{"1": "resolved", "2": "resolved", "3": "open"})
    applied(monkeypatch, control, checked(drift=[Drifted(b"2", "stale")]), said)
    assert said[:2] == [("open", [b"2"]), ("repairing", [b"2", b"3"])]


@pytest.mark.parametrize(
    ("per_second", "partitions", "size"),
    [(500, 4, 100), (3, 4, 22), (1, 4, 7), (1, 1000, 1)],
)
def test_a_request_is_as_large_as_its_budget_answers_soon(per_second: int, partitions: int, size: int) -> None:
    """At 3 a second, four requests of 100 would be answered after everybody had given up."""
    policy = SimpleNamespace(repair=SimpleNamespace(rows_per_second=per_second))
    plan = SimpleNamespace(
        replicas={"cache": SimpleNamespace(tables={"public.t": policy})},
        tables={"public.t": SimpleNamespace(partitions=partitions)},
    )
    opener: Any = SimpleNamespace(plan=plan)
    assert _request_items(opener, Pair("cache", "public.t")) == size


def test_hidden_keys_are_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the source, or in what the replica lists: an orphan is only there."""
    names = Names("cache", "public.t", ["id"], b"secret")
    listed = iter([[b"1", None], [b"5"], [b"not looked at"]])
    target: Any = SimpleNamespace(
        partitions=1,
        sot=SimpleNamespace(scanning=lambda: nullcontext([SimpleNamespace(key=key) for key in (b"1", b"2")])),
        store=SimpleNamespace(keys=lambda chunk: listed),
    )
    opener: Any = SimpleNamespace(hiding_names=lambda pair: names)
    shown = [names.shown(key).hex() for key in (b"2", b"5")]
    items = [
        Item(f"d{key}", "cache", "public.t", key, {"hmac": key}, "stale", "", "", None, hidden=True) for key in shown
    ]
    plain = Item("d", "cache", "public.t", b"9".hex(), {"id": "9"}, "stale", "", "")
    found, gone = _with_keys(opener, target, Pair("cache", "public.t"), [*items, plain])
    assert [bytes.fromhex(item.key) for item in found] == [b"2", b"5", b"9"]
    assert [item.drift for item in found] == [f"d{shown[0]}", f"d{shown[1]}", "d"]
    assert gone == []
    assert next(listed) == [b"not looked at"], "all were found"
    listed = iter([[b"1"]])
    found, gone = _with_keys(opener, target, Pair("cache", "public.t"), items)
    assert [bytes.fromhex(item.key) for item in found] == [b"2"]
    assert gone == [items[1]]


@pytest.mark.parametrize(("state", "ends"), [("open", True), ("repairing", True), ("resolved", False)])
def test_a_hidden_key_that_nobody_has_any_more_is_right(
    monkeypatch: pytest.MonkeyPatch, state: str, ends: bool
) -> None:
    """An orphan whose repair was killed after the delete stayed `repairing`, and a file applied twice failed."""
    sent: list[dict[str, Any]] = []
    item = Item("d", "cache", "public.t", "ab", {"hmac": "ab"}, "orphan", "rogue write", "", None, hidden=True)
    monkeypatch.setattr(repairing, "_with_keys", lambda *_: ([], [item]))
    monkeypatch.setattr(repairing, "opened", lambda plan: nullcontext(Drifts(d=state)))
    monkeypatch.setattr(repairing, "send_event", lambda o, topic, event: sent.append(event))
    opener: Any = SimpleNamespace(
        target=lambda pair: nullcontext(SimpleNamespace()), plan=None, writer=SimpleNamespace(flush=int)
    )
    done = _repair_pair(opener, Pair("cache", "public.t"), [item], Order("me", "", ""))
    assert (done.ordered, done.unchanged, done.failed, done.failures) == (1, 1, 0, ())
    told = [(event["id"], event["state"], event["key_bytes"], event["key_hidden"]) for event in sent]
    assert told == ([(drift_id("cache", "public.t", b"\xab"), "superseded", b"\xab", True)] if ends else [])


def test_control_is_asked_once_for_what_is_there_and_what_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each question is a connection of its own."""
    gone = Item("d", "cache", "public.t", "ab", {"hmac": "ab"}, "orphan", "rogue write", "", None, hidden=True)
    monkeypatch.setattr(repairing, "_with_keys", lambda o, t, p, items: (items, [gone]))
    sent: list[str] = []
    monkeypatch.setattr(repairing, "send_event", lambda o, topic, event: sent.append(event["state"]))
    control = Drifts(**{"1": "resolved", "2": "resolved", "3": "resolved", "d": "open"})
    done, ordered = applied(monkeypatch, control, checked())
    assert control.asked == [{"1", "2", "3", "d"}]
    assert (done.unchanged, ordered, sent) == (4, [], ["superseded"])
