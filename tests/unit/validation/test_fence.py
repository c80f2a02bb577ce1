"""A fence that is not passed says why: nobody reads the slot, or who reads it does not confirm."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from streams.errors import NotReady
from streams.sot import fence as module
from streams.sot.fence import Fence, Unread


def passed(monkeypatch: pytest.MonkeyPatch, *seen: tuple[bool, bool] | None) -> str:
    """A fence whose slot shows (confirmed, active) one after the other, and which has no time left."""
    looks = iter(seen)

    def execute(query: str, values: Any) -> Any:
        return SimpleNamespace(fetchone=lambda: ("0/1",) if "emit" in query else next(looks))

    monkeypatch.setattr(module, "connect", lambda dsn, application: nullcontext(SimpleNamespace(execute=execute)))
    return Fence("host=sot", "bank_slot", "tests").passed(0.0)


def test_a_slot_that_has_confirmed_lets_the_fence_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads it by then."""
    assert passed(monkeypatch, (True, False)) == "0/1"


@pytest.mark.parametrize(
    ("read", "kind", "said"),
    [(False, Unread, "Nobody reads the slot bank_slot"), (True, NotReady, "bank_slot has not confirmed 0/1 in time")],
)
def test_why_a_fence_is_not_passed_is_told(
    monkeypatch: pytest.MonkeyPatch, read: bool, kind: type[NotReady], said: str
) -> None:
    """With the verb that shows what is wrong."""
    with pytest.raises(NotReady, match=said) as raised:
        passed(monkeypatch, (False, read))
    assert type(raised.value) is kind
    assert "holdtrue connectors status" in raised.value.hint


def test_a_slot_that_is_gone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is waited for."""
    with pytest.raises(NotReady, match="no replication slot bank_slot"):
        passed(monkeypatch, None)
