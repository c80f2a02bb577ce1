"""The repair plan: what is in it, and that nobody changed it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from streams.repair.file import RepairFileBroken, planned, read


def row(drift: str, key: bytes | None, kind: str = "missing", replica: str = "reports") -> dict[str, Any]:
    """A drift as the control database has it."""
    return {"id": drift, "replica": replica, "table": "public.t", "key_bytes": key, "key": {"id": "1"}, "kind": kind,
            "replica_token": None}  # fmt: skip


def test_a_key_is_repaired_once_however_many_drifts_tell_of_it() -> None:
    """A dead letter and a check may both have found it."""
    repairs = planned("bank", [row("a", b"1", "unapplied"), row("b", b"1"), row("c", b"1", replica="cache")])
    assert [(item.replica, item.key) for item in repairs.items] == [("cache", "31"), ("reports", "31")]


def test_what_has_no_key_or_no_repair_is_left_out() -> None:
    """A drift of a whole table is not made right key by key."""
    assert planned("bank", [row("a", None), row("b", b"2", "continuity")]).items == ()


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    """What was read and agreed to is what is carried out."""
    path = tmp_path / "repair.json"
    planned("bank", [row("a", b"1")]).write(path)
    assert read(path).plan == "bank"
    document = json.loads(path.read_text())
    document["items"][0]["key"] = "32"
    path.write_text(json.dumps(document))
    with pytest.raises(RepairFileBroken, match="was changed"):
        read(path)
