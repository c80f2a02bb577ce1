"""The example consumer of the drift topic: what it tells people, and when."""

from __future__ import annotations

import importlib.util
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
PAGER = Path(__file__).parents[3] / "docs" / "examples" / "on_call" / "drift_pager.py"


def _module() -> Any:
    spec = importlib.util.spec_from_file_location("drift_pager", PAGER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["drift_pager"] = module
    spec.loader.exec_module(module)
    return module


pager = _module()


def record(state: str, drift: str = "d1", *, minute: int = 0, **fields: Any) -> dict[str, Any]:
    """A record of the topic."""
    at = NOON + timedelta(minutes=minute)
    return {
        "id": drift, "replica": "cache", "table": "public.t", "key": {"id": "4711"}, "kind": "missing",
        "cause": "rogue delete", "state": state, "first_seen": NOON, "last_seen": at, "at": at, "keys": 1, "causes": {},
        "ends_before": None, "accepted_until": None, "reason": None, **fields,
    }  # fmt: skip


def told(board: Any, *records: dict[str, Any], offset: int = 0) -> list[dict[str, Any]]:
    """The pages that are due after these records, which people take."""
    for number, each in enumerate(records, start=offset):
        board.take(each, number)
    pages: list[dict[str, Any]] = board.pages()
    board.done()
    return pages


def test_a_table_is_one_page_from_its_first_drift_to_its_last() -> None:
    """However many keys, by kind and cause; while it lasts nobody is paged again, unless it becomes another kind."""
    board = pager.Board()
    (page,) = told(board, record("suspected", "d0"), record("open"), record("open", "d2", cause="unknown"))
    assert (page["action"], page["dedup_key"]) == ("trigger", "holdtrue/cache/public.t")
    assert (page["kinds"], page["causes"]) == ({"missing": 2}, {"rogue delete": 1, "unknown": 1})
    assert told(board, record("open", "d3"), record("repairing"), record("repaired"), record("resolved")) == []
    (page,) = told(board, record("open", "d4", kind="stale"))
    assert page["kinds"] == {"missing": 2, "stale": 1}
    ends = [record("superseded", drift) for drift in ("d2", "d3", "d4")]
    assert [page["action"] for page in told(board, *ends)] == ["resolve"]
    assert told(board, record("resolved", "d0")) == []


def test_replicas_and_tables_are_pages_of_their_own() -> None:
    """Each with its own key, under which it is resolved."""
    board = pager.Board()
    told(board, record("open"), record("open", "d2", replica="lookup"), record("open", "d3", table="public.u"))
    assert len(board.paged) == 3
    (page,) = told(board, record("resolved", "d2", replica="lookup"))
    assert (page["action"], page["dedup_key"]) == ("resolve", "holdtrue/lookup/public.t")


def test_keys_are_shown_only_where_they_are_asked_for() -> None:
    """A pager's screen is not the place for them."""
    (page,) = told(pager.Board(), record("open"))
    assert "4711" not in str(page)
    (page,) = told(pager.Board(show_keys=True), record("open"), record("open", "d2", key=None))
    assert page["keys"] == [{"id": "4711"}]


def test_a_flood_counts_as_many_keys_and_continuity_is_named() -> None:
    """Both are of the table as a whole; only continuity says that changes may be missing."""
    flood = record("open", "flood", key=None, keys=4_000, causes={"unknown": 3_000, "rogue delete": 1_000})
    lost = record("open", "lost", key=None, kind="continuity", cause="missed change", reason="the slot was dropped")
    (page,) = told(pager.Board(), record("open"), flood, lost)
    assert page["kinds"] == {"missing": 4_001, "continuity": 1}
    assert page["causes"] == {"rogue delete": 1_001, "unknown": 3_000, "missed change": 1}
    assert (page["counted_only"], page["whole_table"]) == (4_000, ["the slot was dropped"])


def test_what_a_person_has_accepted_is_nobodys_page_until_its_date() -> None:
    """Whoever sees it meanwhile says `open`; control says it again on the date."""
    board = pager.Board()
    until = NOON + timedelta(minutes=10)
    told(board, record("open"))
    (page,) = told(board, record("accepted", minute=1, accepted_until=until))
    assert page["action"] == "resolve"
    assert told(board, record("open", minute=5)) == []
    (page,) = told(board, record("open", minute=6, kind="stale"))
    assert page["action"] == "trigger"
    told(board, record("accepted", minute=7, kind="stale", accepted_until=until))
    (page,) = told(board, record("open", minute=10, kind="stale"))
    assert page["action"] == "trigger"


def test_a_run_does_not_end_what_was_told_after_it_began() -> None:
    """As control has it: the end is of what the run had before it."""
    board = pager.Board()
    told(board, record("open"), record("open", minute=1), offset=7)
    assert told(board, record("superseded", ends_before=8), offset=9) == []
    assert [page["action"] for page in told(board, record("superseded", ends_before=9), offset=10)] == ["resolve"]
