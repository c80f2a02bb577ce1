"""One record of a change topic, as it is in Kafka."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

TOMBSTONE = "tombstone"
# Columns that a table of records leaves out.
UNSHOWN = frozenset(("id", "filler"))


@dataclass(frozen=True)
class Seen:
    """last_commit, lsn: the two elements of `source.sequence`. moved: which header of a key's change it has."""

    partition: int
    offset: int
    op: str
    key: Any = None
    row: Mapping[str, Any] = field(default_factory=dict)
    snapshot: str = ""
    txid: int | None = None
    last_commit: int | None = None
    lsn: int | None = None
    source_lsn: int | None = None
    moved: str = ""

    @property
    def id(self) -> int | None:
        """The key, of a table whose key is `id`."""
        return None if self.key is None else self.key["id"]

    @property
    def sequence(self) -> str:
        """As it is in the record."""
        return f"[{_number(self.last_commit)}, {_number(self.lsn)}]"

    @property
    def change(self) -> tuple[Any, ...]:
        """What makes it the same change, wherever it stands."""
        return self.op, self.id, tuple(self.row.items()), self.txid, self.lsn


def seen(message: Any, key: Any, value: Any) -> Seen:
    """A message with key and value decoded."""
    partition, offset = message.partition(), message.offset()
    if value is None:
        return Seen(partition, offset, TOMBSTONE, key)
    source = value["source"]
    last_commit, lsn = (None if each is None else int(each) for each in json.loads(source["sequence"]))
    headers = {name.removeprefix("__debezium.") for name, _ in message.headers() or ()}
    moved = ", ".join(sorted(headers & {"newkey", "oldkey"}))
    return Seen(
        partition, offset, value["op"], key, value.get("after") or value.get("before") or {}, source["snapshot"],
        source["txId"], last_commit, lsn, source["lsn"], moved,
    )  # fmt: skip


def table(records: Iterable[Seen]) -> str:
    """Records as a table of Markdown."""
    heads = ("at", "op", "key", "row", "txId", "sequence", "lsn", "")
    lines = [_cells(heads), _cells(["---"] * len(heads)), *(_cells(_shown(record)) for record in records)]
    return "\n".join(lines)


def _cells(cells: Iterable[object]) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def _shown(record: Seen) -> tuple[object, ...]:
    place = f"{record.partition}/{record.offset}"
    if record.op == TOMBSTONE:
        return place, TOMBSTONE, _number(record.id), "", "", "", "", ""
    row = " ".join(str(value) for column, value in record.row.items() if column not in UNSHOWN and value is not None)
    more = ", ".join(each for each in (_snapshot(record), record.moved) if each)
    numbers = (_number(record.txid), record.sequence, _number(record.source_lsn))
    return place, record.op, _number(record.id), row, *numbers, more


def _snapshot(record: Seen) -> str:
    return "" if record.snapshot == "false" else f"snapshot {record.snapshot}"


def _number(number: int | None) -> str:
    return "null" if number is None else str(number)
