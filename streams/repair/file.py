"""The repair plan: the file a person reads before it is applied. Its hash shows that nothing was changed in between."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from streams.errors import UsageError

VERSION = 3
BYTES_MAX = 256 << 20
# What a hidden key is shown as.
HIDDEN = "hmac"

# What a repair of each kind does to the replica.
EFFECTS: Mapping[str, str] = {
    "missing": "write the row the source of truth has",
    "stale": "write the row the source of truth has",
    "mismatch": "write the row the source of truth has",
    "unapplied": "write the row the source of truth has, if the store takes it now",
    "orphan": "delete the row, which the source of truth does not have",
}
# Of a table that readers fill: whatever is wrong.
EMPTIED = "delete the row, which readers fill again"


# Bytes as lower-case hex digits.
Hex = Annotated[str, msgspec.Meta(pattern="^(?:[0-9a-f]{2})*$")]


class RepairFileBroken(UsageError):
    """The file is not a repair plan, or was changed after it was made."""


@dataclass(frozen=True, slots=True)
class Item:
    """One drifted key. key: canonical bytes in hex; shown: its columns; cause: why, as far as it is known.

    replica_token: in hex, as last seen there. hidden: key is the HMAC of the key, as the plan wants it.
    """

    drift: str
    replica: str
    table: str
    key: Hex
    shown: Mapping[str, str]
    kind: str
    cause: str
    effect: str
    replica_token: Hex | None = None
    hidden: bool = False


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
        """As JSON that people can read and diff. Raises UsageError where the file cannot be written."""
        document = {
            "repair": VERSION,
            "plan": self.plan,
            "hash": self.hash,
            "items": [asdict(item) for item in self.items],
        }
        try:
            path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise UsageError(
                f"The repair plan cannot be written to {path}: {error.strerror}.", "Name another file with --file."
            ) from None


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    """What a file holds."""

    repair: Literal[3]
    plan: str
    hash: str
    items: tuple[Item, ...]


def read(path: Path) -> RepairPlan:
    """The repair plan in a file. Raises RepairFileBroken."""
    try:
        if path.stat().st_size > BYTES_MAX:
            raise RepairFileBroken(f"{path} is larger than {BYTES_MAX >> 20} MiB.", "Repair table by table.")
        document = msgspec.json.decode(path.read_bytes(), type=_Document)
    except OSError as error:
        raise RepairFileBroken(
            f"The repair plan {path} cannot be read: {error.strerror}.", "Make one with `holdtrue repair plan`."
        ) from None
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise RepairFileBroken(
            f"{path} is not a repair plan ({type(error).__name__}).", "Make one with `holdtrue repair plan`."
        ) from None
    found = RepairPlan(document.plan, document.items)
    if document.hash != found.hash:
        raise RepairFileBroken(
            f"{path} was changed after it was made: its hash does not fit.", "Make a new one; do not edit it."
        )
    return found


def planned(
    plan: str, rows: Sequence[Mapping[str, Any]], filled: Container[tuple[str, str]] = frozenset()
) -> RepairPlan:
    """The repair plan for rows of the control database's `drift`; those without a key cannot be repaired one by one.

    filled: replica and table of those that readers fill.
    """
    items = [
        _item(row, EMPTIED if (row["replica"], row["table"]) in filled else EFFECTS[row["kind"]])
        for row in rows
        if row["key_bytes"] is not None and row["kind"] in EFFECTS
    ]
    # One repair makes a key right, however many drifts tell of it.
    by_key = {(item.replica, item.table, item.key): item for item in items}
    return RepairPlan(plan, tuple(by_key[place] for place in sorted(by_key)))


def _item(row: Mapping[str, Any], effect: str) -> Item:
    token, key = row["replica_token"], bytes(row["key_bytes"]).hex()
    return Item(
        row["id"],
        row["replica"],
        row["table"],
        key,
        {HIDDEN: key} if row["key_hidden"] else dict(row["key"] or {}),
        row["kind"],
        row["cause"],
        effect,
        bytes(token).hex() if token is not None else None,
        row["key_hidden"],
    )


def _text(plan: str, items: Sequence[Item]) -> str:
    return json.dumps([VERSION, plan, [asdict(item) for item in items]], sort_keys=True, separators=(",", ":"))
