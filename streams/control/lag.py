"""How far a replica is behind, told from Kafka alone: what its group has committed against what the topics hold.

It is right also when every worker is dead, which is when it is needed. What the workers themselves say (their metrics)
is finer, and gone with them.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import fastavro

from streams.changes.envelope import bare
from streams.errors import HoldtrueError
from streams.kafka.wire import NotOurFormat, unframe


class Said(NamedTuple):
    """What a change record says of its place: times in ms since 1970, positions as in Debezium's source block.

    last_commit: position of the last transaction that was complete in the log before this record; None where Debezium
    does not say (snapshot rows, the first transaction after one).
    """

    committed_ms: int
    lsn: int | None = None
    last_commit: int | None = None


class PartitionLag(NamedTuple):
    """One partition of a change topic, as Kafka shows it. `low` and `end` bound what it holds.

    `edge` is the first record that is not committed, or the last one there is where all are; None: neither is there.
    """

    low: int
    end: int
    committed: int | None
    edge: Said | None = None

    @property
    def start(self) -> int:
        """The first offset that is still to be applied."""
        return self.low if self.committed is None else max(self.low, self.committed)

    @property
    def events(self) -> int:
        """Records that are still to be applied."""
        return max(0, self.end - self.start)


class Lag(NamedTuple):
    """How far one table of one replica is behind.

    seconds: age of the oldest SOT commit not applied, 0 if none. applied_through: every transaction that committed at
    or below this position has been applied, so far as it has reached the topic; None: cannot be told. begun: a record
    of the table has been in its topic.
    """

    seconds: float
    events: int
    applied_through: str | None
    committed: bool
    begun: bool = True


class RegistryLike(Protocol):
    """Where writer schemas come from."""

    def schema(self, schema_id: int) -> Any:
        """The schema with this id."""


def position(lsn: int) -> str:
    """A log position as Postgres writes it, X/Y."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def lag_of(partitions: Iterable[PartitionLag], now_ms: float) -> Lag:
    """The lag of a table from its partitions."""
    listed = list(partitions)
    behind = [partition for partition in listed if partition.events]
    ages = [(now_ms - partition.edge.committed_ms) / 1000 for partition in behind if partition.edge]
    return Lag(
        seconds=max(0.0, *ages) if ages else 0.0,
        events=sum(partition.events for partition in listed),
        applied_through=_through(listed, behind),
        committed=any(partition.committed is not None for partition in listed),
        begun=any(partition.end for partition in listed),
    )


def behind_seconds(lag: Lag, source_seconds: float | None) -> float | None:
    """How far a table is behind, with what has not reached Kafka, which is behind for source_seconds; None: not known.

    What has arrived and is not applied is behind in any case; that nothing is behind takes more to know.
    """
    if not lag.seconds and source_seconds is None:
        return None
    return max(lag.seconds, source_seconds or 0.0)


def _through(listed: Sequence[PartitionLag], behind: Sequence[PartitionLag]) -> str | None:
    """A partition that is behind is complete up to the last commit before its first open record, not up to that
    record's own position: a change of a long transaction is sent after changes with larger positions."""
    if not behind:
        newest = [partition.edge.lsn for partition in listed if partition.edge and partition.edge.lsn]
        return position(max(newest)) if newest else None
    complete = [partition.edge.last_commit if partition.edge else None for partition in behind]
    known = [lsn for lsn in complete if lsn is not None]
    return position(min(known)) if len(known) == len(complete) else None


def said(value: bytes, timestamp_ms: int, schemas: RegistryLike) -> Said:
    """What a change record says of its place. One that cannot be read still has Kafka's time."""
    try:
        schema_id, encoded = unframe(value)
        source = _source(encoded, schema_id, schemas)
        return Said(int(source["ts_ms"]), source.get("lsn"), _last_commit(source.get("sequence")))
    except (NotOurFormat, KeyError, TypeError, ValueError, IndexError, EOFError, OverflowError):
        return Said(timestamp_ms)
    except HoldtrueError:
        # The registry does not know the id or does not answer: the age is still right.
        return Said(timestamp_ms)


def _source(encoded: bytes, schema_id: int, schemas: RegistryLike) -> Mapping[str, Any]:
    parsed = _parsed(json.dumps(schemas.schema(schema_id)))
    record: Any = fastavro.schemaless_reader(io.BytesIO(encoded), parsed)
    source: Mapping[str, Any] = record["source"]
    return source


@lru_cache(maxsize=1_000)
def _parsed(text: str) -> Any:
    # Without logical types: a decimal whose scale is beyond its precision is legal in Postgres and not in Avro.
    return fastavro.parse_schema(bare(json.loads(text)))


def _last_commit(sequence: str | None) -> int | None:
    first = json.loads(sequence)[0] if sequence else None
    return None if first is None else int(first)
