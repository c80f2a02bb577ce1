"""Signals and a report from real servers: each copy in sync is told of once, by whichever control."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import psycopg
import pytest

from streams.local.stack import Stack
from tests.integration.worker.conftest import REPLICAS, TABLES, TOWN
from tests.support.bank import Bank
from tests.support.wait import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.long]
PLACES = (("reports", "public.person"), ("reports", "public.thing"))
# Looks every 10 s, of which three must agree, and what it takes to start.
TOLD_SECONDS = 120.0


def told(bank: Bank) -> Counter[tuple[str, str, str]]:
    """How often each copy was told to be in sync, by why it was not before; one that was sent again counts once."""
    found = {event["id"]: event for event in bank.events("signals") if event["type"] == "sync-updated"}
    return Counter((event["replica"], event["table"], event["detail"]["why"]) for event in found.values())


def out(bank: Bank) -> list[str]:
    """The tables that were not in sync when control looked last."""
    with psycopg.connect(bank.env["HOLDTRUE_CONTROL_DSN"]) as control:
        found = control.execute("SELECT table_name FROM holdtrue.syncs WHERE out IS NOT NULL ORDER BY 1").fetchall()
    return [table for (table,) in found]


def test_two_controls_tell_of_each_copy_once_and_a_run_has_its_report(shared_stack: Stack, tmp_path: Path) -> None:
    """When it is in sync first, and after a hold; the report names who asked, and shows lag and the trail's hash."""
    bank = Bank(shared_stack, tmp_path, TOWN, TABLES, {"reports": REPLICAS["reports"]})
    try:
        bank.start()
        for instance in ("0", "1"):
            bank.control(instance=instance)
        bank.wait_caught_up("reports")
        begun = Counter({(*place, "begun"): 1 for place in PLACES})
        wait_until(lambda: told(bank) == begun, "both copies to be in sync", TOLD_SECONDS)
        bank.done("hold", "--table", "public.thing", "--replica", "reports", "--reason", "a test")
        wait_until(lambda: out(bank) == ["public.thing"], "control to have seen the hold", TOLD_SECONDS)
        bank.done("release", "--table", "public.thing", "--replica", "reports", "--reason", "it is over")
        again = begun + Counter({("reports", "public.thing", "held"): 1})
        wait_until(lambda: told(bank) == again, "the copy to be in sync again", TOLD_SECONDS)
        _report(bank, tmp_path)
        assert told(bank) == again
    finally:
        bank.close()


def _report(bank: Bank, folder: Path) -> None:
    ran = json.loads(bank.done("--format", "json", "validate", "--table", "public.person", "--by", "ada"))
    (run,) = (result["run"] for result in ran["results"])
    wait_until(lambda: bank.run("runs", "show", run).returncode == 0, "control to know the run")
    bank.done("runs", "report", run, "--file", str(folder / "run.html"))
    text = (folder / "run.html").read_text(encoding="utf-8")
    shown = json.loads(bank.done("--format", "json", "runs", "show", run))
    assert (shown["outcome"], shown["who"], len(shown["plan_hash"])) == ("correct", "ada", 64)
    assert shown["samples"]
    entries = json.loads(bank.done("--format", "json", "audit", "list"))["entries"]
    assert {entry["who"] for entry in entries if entry["what"] == "run"} == {"ada"}
    assert all(word in text for word in (run, shown["plan_hash"], shown["audit"]["entry"]["hash"], "<polyline", "ada"))
