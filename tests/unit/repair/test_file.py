"""The repair plan: what is in it, and that nobody changed it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from streams.errors import UsageError
from streams.repair.file import RepairFileBroken, planned, read


def row(drift: str, key: bytes | None, kind: str = "missing", replica: str = "reports") -> dict[str, Any]:
    """A drift as the control database has it."""
    return {"id": drift, "replica": replica, "table": "public.t", "key_bytes": key, "key": {"id": "1"}, "kind": kind,
            "cause": "unknown", "replica_token": None, "key_hidden": False}  # fmt: skip


def test_a_key_is_repaired_once_however_many_drifts_tell_of_it() -> None:
    """A dead letter and a check may both have found it."""
    repairs = planned("bank", [row("a", b"1", "unapplied"), row("b", b"1"), row("c", b"1", replica="cache")])
    assert [(item.replica, item.key) for item in repairs.items] == [("cache", "31"), ("reports", "31")]


def test_what_has_no_key_or_no_repair_is_left_out() -> None:
    """A drift of a whole table is not made right key by key."""
    assert planned("bank", [row("a", None), row("b", b"2", "continuity")]).items == ()


def test_what_readers_fill_is_deleted_and_not_written() -> None:
    """A cache: the file says what is done there, whatever is wrong."""
    rows = [row("a", b"1", "mismatch", "cache"), row("b", b"1", "mismatch")]
    repairs = planned("bank", rows, {("cache", "public.t")})
    effects = [(item.replica, item.effect.split()[0]) for item in repairs.items]
    assert effects == [("cache", "delete"), ("reports", "write")]


def test_a_hidden_key_is_in_the_file_as_it_is_in_its_record() -> None:
    """Who reads the file learns no more of it than who reads the drift; whoever applies it finds the key again."""
    (item,) = planned("bank", [row("a", b"\x07") | {"key": None, "key_hidden": True}]).items
    assert (item.key, item.shown, item.hidden) == ("07", {"hmac": "07"}, True)


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


@pytest.mark.parametrize(
    "change",
    [
        {"key": "not hex"}, {"key": 7}, {"key": "3"}, {"replica_token": "xyz"}, {"shown": "id"},
        {"kind": None},
    ],
    ids=str,
)  # fmt: skip
def test_a_file_with_an_impossible_item_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    """Whatever its hash says: nothing of it is begun."""
    path = tmp_path / "repair.json"
    planned("bank", [row("a", b"1")]).write(path)
    document = json.loads(path.read_text())
    document["items"][0] |= change
    path.write_text(json.dumps(document))
    with pytest.raises(RepairFileBroken, match="is not a repair plan"):
        read(path)


def test_a_file_nested_without_end_is_refused(tmp_path: Path) -> None:
    """One sentence, not a traceback."""
    path = tmp_path / "repair.json"
    path.write_text("[" * 100_000)
    with pytest.raises(RepairFileBroken, match="is not a repair plan"):
        read(path)


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A folder that is not there."""
    with pytest.raises(UsageError, match="cannot be written"):
        planned("bank", []).write(tmp_path / "nowhere" / "repair.json")
