"""Which transactions a read of the SOT could see.

The log can show a change before other sessions can read it (a waiting synchronous standby), so a read counts only if
the transactions it must contain are visible in its snapshot.
"""

from __future__ import annotations

from dataclasses import dataclass

# Set on a transaction id: not this transaction alone but every one up to it must be visible.
EVERYTHING_BEFORE = 1 << 63

_EPOCH = 1 << 32


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A Postgres snapshot: what `pg_current_snapshot()` says.

    floor: every transaction below it had ended (xmin). ceiling: none from it on had begun to be visible (xmax).
    running: those in between that were in progress. Ids are 64 bits wide, as Postgres counts them.
    """

    floor: int
    ceiling: int
    running: frozenset[int]

    @classmethod
    def parse(cls, text: str) -> Snapshot:
        """Of `xmin:xmax:xip,xip,…`; raises ValueError on anything else."""
        floor, ceiling, running = text.split(":")
        return cls(int(floor), int(ceiling), frozenset(int(txid) for txid in running.split(",") if txid))

    def shows(self, txid: int) -> bool:
        """Whether the transaction had ended, visibly, when the snapshot was taken."""
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
