"""One table of one replica, as a run needs it: the SOT's side, the replica's, and the way to the owners."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from streams.kafka.partitions import Partitioner
from streams.kafka.topics import DRIFT_PARTITIONS
from streams.plan.mapping import Shape
from streams.plan.policy import Drift
from streams.replicas.base import ReplicaTable
from streams.rows.digest import Digester
from streams.sot.reader import SotReader
from streams.validation.exchange import Exchange
from streams.validation.report import Report
from streams.validation.waiting import Fences


class Paced(Protocol):
    """How fast a run reads, as of `streams.validation.pace.Pace`."""

    def __call__(self, rows: int, *, holding: bool = False) -> bool:
        """Called with the rows that were read since the last call; returns when more may be read.

        holding: under a snapshot that is held meanwhile. Then False after a while in which none could be: the run gives
        it back, and asks again.
        """


def unhurried(rows: int, *, holding: bool = False) -> bool:
    """As fast as it goes."""
    return True


# Some ten seconds of reading, for which the SOT's vacuum is held back.
SNAPSHOT_ROWS = 200_000


@dataclass(slots=True)
class Target:
    """What a run works on. `fence` and `exchange` may serve several targets, one after the other."""

    replica: str
    table: str
    topic: str
    drift_topic: str
    partitions: int
    shape: Shape
    digester: Digester
    sot: SotReader
    store: ReplicaTable
    fence: Fences
    exchange: Exchange
    partitioner: Partitioner
    # Called when answers stay away; raises NotReady where nobody is there who could answer, and StoreUnavailable where
    # the store does not.
    on_silence: Callable[[], None]
    # How long owners may say nothing, and a fence may take: who is behind by more is reported, not waited for. Not a
    # bound on the run, which is as long as the table is large.
    silence_seconds: float = 120.0
    # The plan allows the store to lose rows.
    absent_allowed: bool = False
    # Somebody else writes what is in the replica, and may be so late with it: a run waits that long between its looks.
    others_write: bool = False
    others_lag_seconds: float = 0.0
    sleep: Callable[[float], None] = time.sleep
    # Rows that are right get their tokens, of a table that somebody else writes.
    stamp: bool = False
    # The kind of store.
    kind: str = ""
    # What records of drift show.
    drift: Drift = field(default_factory=Drift)
    # Keys of a sample, where the plan says how many.
    sample_keys: int | None = None
    # Called with the rows that were read since the last call: one tells of them, one returns when more may be read.
    progress: Callable[[int], None] = lambda _: None
    # Called when the run begins.
    begun: Callable[[Report], None] = lambda _: None
    # Called when all that a run has read so far is decided: should it be killed from now on, it is gone on with here.
    keep: Callable[[Report], None] = lambda _: None
    # Rows that are read under one snapshot of the SOT, about; more of a very large table.
    snapshot_rows: int = SNAPSHOT_ROWS
    pace: Paced = unhurried

    def ends(self) -> list[int]:
        """End offsets of the change topic, by partition."""
        return self.exchange.ends(self.topic, self.partitions)

    def drift_ends(self) -> list[int]:
        """End offsets of the drift topic, by partition."""
        return self.exchange.ends(self.drift_topic, DRIFT_PARTITIONS)

    def deadline(self) -> float:
        """When a fence that is emitted now must have been passed (of `time.monotonic()`)."""
        return time.monotonic() + self.silence_seconds
