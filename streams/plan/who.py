"""What a missing input means, and who can supply it: the words of `plan check`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

AUTHOR: Final = "the author of the plan"
OWNER: Final = "the owner of the data"
READERS: Final = "the owner of the data, with the people who read the replica"
OPERATOR: Final = "whoever runs the databases and Kafka"

# By the name of the field: what a person has to say there.
_MEANING: Final = {
    "owner": "the team or person responsible for this data",
    "approver": "the team or person who approves changes of this plan",
    "consistency": "how far behind readers may be: {kind: eventual, lag: 2s}, or {kind: strong}",
    "lag": "the longest time the replica may be behind, such as 2s",
    "conflict": "which row stays when the replica was written by others: source_wins or {last_write_wins: COLUMN}",
    "on_failure": "what happens to a change that cannot be applied: dead-letter or hold",
    "on_continuity": "whether a table is written while changes of it may be missing: continue or hold",
    "mode": "what holdtrue does with this table: replicate, invalidate or verify",
    "trigger": "when it does it: realtime, scheduled or on_demand",
    "repair": "which drift is repaired without asking: {automatic: []} for none",
    "automatic": "the kinds of drift repaired without asking; [] for none",
    "tombstone_retention": "how long deletes are remembered; at least kafka.retention + kafka.longest_pause",
    "retention": "how long Kafka keeps changes, such as 7d",
    "longest_pause": "the longest time a consumer may be held or away; shorter than kafka.retention",
    "tombstones": "what readers see of a deleted row: attribute or table",
    "key": "the columns of the table's primary key, or in a Redis replica the key template, such as account:{id}",
    "dsn": "where the connection string is found: {env: NAME} or {file: PATH}",
    "url": "where the address is found: {env: NAME} or {file: PATH}",
    "tables": "the tables this is about",
    "replicas": "the stores that hold copies",
    "every": "how often the validation runs, such as 1h",
    "depths": "which checks run: counts, sample, checksums, full",
    "kind": "what kind this is",
    "holdtrue": "the version of the plan format: 1",
    "name": "the plan's name, used in the names of slot, connector and consumer groups",
}
_WHO: Final = {
    **dict.fromkeys(("owner", "approver", "conflict", "on_failure", "on_continuity", "repair", "automatic"), OWNER),
    **dict.fromkeys(("consistency", "lag", "mode", "trigger", "tombstones", "validation", "depths", "every"), READERS),
    **dict.fromkeys(
        ("retention", "longest_pause", "tombstone_retention", "dsn", "url", "endpoint", "region"), OPERATOR
    ),
    **dict.fromkeys(("bootstrap", "registry", "connect", "converter", "source", "control", "kafka"), OPERATOR),
}


def meaning(field: str | int) -> str:
    """What belongs into `field`; empty when its name says it."""
    return _MEANING.get(str(field), "")


def supplier(path: Sequence[str | int]) -> str:
    """Who can supply what is at `path`: by the innermost part that says it."""
    return next((_WHO[part] for part in reversed(path) if isinstance(part, str) and part in _WHO), AUTHOR)
