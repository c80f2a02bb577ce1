"""Which transactions a read of the SOT could see.

The log can show a change before other sessions can read it (a waiting synchronous standby), so a read counts only if
the transactions it must contain are visible in its snapshot.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from streams.versions.entry import EVERYTHING_BEFORE

_EPOCH = 1 << 32


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A Postgres snapshot: what `pg_current_snapshot()` says.

    floor: every transaction below it had ended (xmin). ceiling: none from it on had begun to be visible (xmax).
    running: those in between that were in progress. Ids are 64 bits wide, as Postgres counts them.
    lsn: where the log was when the snapshot was taken, or a little later.
    settled: shows whatever had been seen before the first of several looks (`Looks`), by whatever id.
    """

    floor: int
    ceiling: int
    running: frozenset[int]
    lsn: int = 0
    settled: bool = False

    @classmethod
    def parse(cls, text: str, lsn: int = 0) -> Snapshot:
        """Of `xmin:xmax:xip,xip,…`; raises ValueError on anything else."""
        floor, ceiling, running = text.split(":")
        return cls(int(floor), int(ceiling), frozenset(int(txid) for txid in running.split(",") if txid), lsn)

    def shows(self, txid: int) -> bool:
        """Whether the transaction had ended, visibly, when the snapshot was taken."""
        if self.settled:
            return True
        if txid & EVERYTHING_BEFORE:
            return self._widen(txid & ~EVERYTHING_BEFORE) < self.floor
        wide = self._widen(txid)
        return wide < self.ceiling and wide not in self.running

    def _widen(self, txid: int) -> int:
        """Debezium gives the lower 32 bits; the nearest id to the snapshot's ceiling that has them is meant."""
        if txid >= _EPOCH:
            return txid
        wide = (self.ceiling & ~(_EPOCH - 1)) | txid
        if wide - self.ceiling > _EPOCH // 2:
            return wide - _EPOCH
        return wide + _EPOCH if self.ceiling - wide > _EPOCH // 2 else wide


class Looks:
    """Looks at the SOT for one question, one after the other, until one of them counts.

    Ids alone can not decide it always: those of changes from before a restore or a failover may never be given again,
    or mean other transactions by now. What had been seen before the first look was committed then; so it is shown by
    each look that finds everything over that was in progress at the first (decision 7).
    """

    def __init__(self) -> None:
        self._ceiling: int | None = None

    def at(self, snapshot: Snapshot) -> Snapshot:
        """The next look's snapshot, settled where it is."""
        # Ids that went back are another cluster's: looking begins anew.
        if self._ceiling is None or snapshot.ceiling < self._ceiling:
            self._ceiling = snapshot.ceiling
            return snapshot
        return replace(snapshot, settled=True) if snapshot.floor >= self._ceiling else snapshot
