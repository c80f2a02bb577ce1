"""When control says that what it remembers is up to date."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from streams.agents.remember import Control
from streams.plan.check import load_plan
from tests.unit.plan.plans import EXAMPLE

DRIFT = TP("drift", 0)


class App(SimpleNamespace):
    """Faust's part: a consumer with one partition, which ends at offset 0, and whether the group rebalances."""

    def __init__(self, *assigned: TP, started: bool = True, rebalancing: bool = False) -> None:
        consumer = SimpleNamespace(started=started, assignment=lambda: set(assigned), highwater=lambda _: 0)
        super().__init__(consumer=consumer, rebalancing=rebalancing)


@pytest.fixture(autouse=True)
def _addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is asked there."""
    for name in ("SOT_DSN", "CONTROL_DSN"):
        monkeypatch.setenv(f"HOLDTRUE_{name}", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("HOLDTRUE_KAFKA", "127.0.0.1:1")
    monkeypatch.setenv("HOLDTRUE_REGISTRY", "http://127.0.0.1:1")
    monkeypatch.setenv("HOLDTRUE_CONNECT", "http://127.0.0.1:1")


def ready(app: Any) -> str | None:
    """What /readyz says."""
    return Control(app, load_plan(EXAMPLE), instance="0").ready()


def test_ready_with_partitions_that_hold_nothing_new() -> None:
    """And only then."""
    assert ready(App(DRIFT)) is None


@pytest.mark.parametrize("app", [App(), App(DRIFT, started=False), App(DRIFT, rebalancing=True)])
def test_not_ready_without_partitions_of_its_own(app: App) -> None:
    """While a group rebalances a consumer still names what it had: others may have it."""
    assert ready(app) == "no partition is assigned yet"
