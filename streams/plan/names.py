"""Names the plan uses, each valid everywhere it will be used."""

from __future__ import annotations

from hashlib import blake2b
from typing import Annotated, Final

from pydantic import StringConstraints

# A plan's name becomes part of slot, publication, connector and consumer-group names.
NAME_PATTERN: Final = r"^[a-z][a-z0-9_-]{0,39}$"
PlanName = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
ReplicaName = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
# Postgres allows nothing else in the name of a replication slot.
SLOT_PATTERN: Final = r"^[a-z0-9_]{1,63}$"
SlotName = Annotated[str, StringConstraints(pattern=SLOT_PATTERN)]
# Unquoted identifiers: they are also valid in topic names and Avro names, where Debezium would otherwise change them.
Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")]
TABLE_PATTERN: Final = r"^[A-Za-z_][A-Za-z0-9_]{0,62}\.[A-Za-z_][A-Za-z0-9_]{0,62}$"
TableName = Annotated[str, StringConstraints(pattern=TABLE_PATTERN)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=63)]
PREFIX_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
TopicPrefix = Annotated[str, StringConstraints(pattern=PREFIX_PATTERN)]

SLOT_BYTES_MAX: Final = 63


def replica_log_name(plan: str, replica: str) -> str:
    """Of the slot and the publication in a Postgres replica whose log is followed.

    Where names had to be cut or changed, a hash of them tells them apart.
    """
    name = f"holdtrue_{plan}_{replica}_log"
    if len(name) <= SLOT_BYTES_MAX and "-" not in name:
        return name
    tail = blake2b(f"{plan}/{replica}".encode(), digest_size=6).hexdigest()
    return f"{name.replace('-', '_')[: SLOT_BYTES_MAX - len(tail) - 1]}_{tail}"
