"""Local state whose changelog is no more."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from streams.agents import lost
from streams.versions.state import PartitionState

PLACE = ("bank-cache-public.t-changelog", 1)
PLAN: Any = SimpleNamespace(
    replicas={"cache": SimpleNamespace(tables=["public.t"])},
    tables={"public.t": SimpleNamespace(partitions=3)},
    group=lambda replica: f"bank-{replica}",
)


@pytest.mark.parametrize(
    ("ends", "kept"),
    [({PLACE: 10}, True), ({PLACE: 9}, False), ({PLACE: 0}, False), ({}, True)],
    ids=["goes-on", "without-its-last", "anew", "not-answered"],
)
def test_state_that_has_taken_what_its_changelog_lacks_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: dict[tuple[str, int], int], kept: bool
) -> None:
    """It was made anew, as under servers that were wiped: offsets that are known would be taken for read."""
    folder = tmp_path / "public.t" / "1"
    state = PartitionState(folder, 1)
    state.recover([], 9)
    state.close()
    asked: list[list[tuple[str, int]]] = []
    monkeypatch.setattr(lost, "_ends", lambda plan, places: asked.append(places) or ends)
    lost.drop_lost(PLAN, "cache", tmp_path)
    assert (asked, folder.exists()) == ([[PLACE]], kept)
