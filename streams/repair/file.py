"""The repair plan: the file a person reads before it is applied. Its hash shows that nothing was changed in between."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from streams.errors import UsageError

VERSION = 1
BYTES_MAX = 256 << 20

# What a repair of each kind does to the replica.
EFFECTS: Mapping[str, str] = {
    "missing": "write the row the source of truth has",
    "stale": "write the row the source of truth has",
    "mismatch": "write the row the source of truth has",
    "unapplied": "write the row the source of truth has, if the store takes it now",
    "orphan": "delete the row, which the source of truth does not have",
}


class RepairFileBroken(UsageError):
    """The file is not a repair plan, or was changed after it was made."""


@dataclass(frozen=True, slots=True)
class Item:
    """One drifted key. key: canonical bytes in hex; shown: its columns; replica_token: in hex, as last seen there."""

    drift: str
    replica: str
    table: str
    key: str
    shown: Mapping[str, str]
    kind: str
    effect: str
    replica_token: str | None = None


@dataclass(frozen=True, slots=True)
class RepairPlan:
    """Items in a fixed order, under the name of the Data Consistency Plan they belong to."""

    plan: str
    items: tuple[Item, ...]

    @property
    def hash(self) -> str:
        """Of everything in it."""
        return blake2b(_text(self.plan, self.items).encode(), digest_size=16).hexdigest()

    def write(self, path: Path) -> None:
        """As JSON that people can read and diff."""
        document = {
            "repair": VERSION,
            "plan": self.plan,
            "hash": self.hash,
            "items": [asdict(item) for item in self.items],
        }
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def read(path: Path) -> RepairPlan:
    """The repair plan in a file. Raises RepairFileBroken."""
    try:
        if path.stat().st_size > BYTES_MAX:
            raise RepairFileBroken(f"{path} is larger than {BYTES_MAX >> 20} MiB.", "Repair table by table.")
        document = json.loads(path.read_text(encoding="utf-8"))
        found = RepairPlan(document["plan"], tuple(Item(**item) for item in document["items"]))
        said = document["hash"]
    except OSError as error:
        raise RepairFileBroken(
            f"The repair plan {path} cannot be read: {error.strerror}.", "Make one with `holdtrue repair plan`."
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise RepairFileBroken(
            f"{path} is not a repair plan ({type(error).__name__}).", "Make one with `holdtrue repair plan`."
        ) from None
    if said != found.hash:
        raise RepairFileBroken(
            f"{path} was changed after it was made: its hash does not fit.", "Make a new one; do not edit it."
        )
    return found


def planned(plan: str, rows: Sequence[Mapping[str, Any]]) -> RepairPlan:
    """The repair plan for rows of the control database's `drift`; those without a key cannot be repaired one by one."""
    items = [_item(row) for row in rows if row["key_bytes"] is not None and row["kind"] in EFFECTS]
    # One repair makes a key right, however many drifts tell of it.
    by_key = {(item.replica, item.table, item.key): item for item in items}
    return RepairPlan(plan, tuple(by_key[place] for place in sorted(by_key)))


def _item(row: Mapping[str, Any]) -> Item:
    token = row["replica_token"]
    return Item(
        row["id"],
        row["replica"],
        row["table"],
        bytes(row["key_bytes"]).hex(),
        dict(row["key"] or {}),
        row["kind"],
        EFFECTS[row["kind"]],
        bytes(token).hex() if token is not None else None,
    )


def _text(plan: str, items: Sequence[Item]) -> str:
    return json.dumps([VERSION, plan, [asdict(item) for item in items]], sort_keys=True, separators=(",", ":"))
