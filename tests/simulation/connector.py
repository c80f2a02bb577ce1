"""Debezium: reads the log, sends records, and is restarted, moved and broken in every way that is known of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from streams.changes.record import Op
from tests.simulation.clock import VirtualLoop
from tests.simulation.log import Payload, Topic
from tests.simulation.sot import ALL_KEYS, Change, Sot, key_bytes, keys_of, line_of, op_of, row_of


class Place(NamedTuple):
    """A place in the log: so many transactions, and so many changes of the next one."""

    commit: int
    change: int


@dataclass(slots=True)
class Window:
    """A chunk of an incremental snapshot: rows as they were read between two marks in the log."""

    low: int
    high: int
    rows: dict[int, str]


class Connector:
    """Sends at its own pace, as a chain of timers on the loop."""

    def __init__(
        self, sot: Sot, topic: Topic, loop: VirtualLoop, rng: Random, on_damaged: Callable[[Iterable[int]], None]
    ) -> None:
        self._sot = sot
        self._topic = topic
        self._loop = loop
        self._rng = rng
        self.place = Place(0, 0)
        self.flushed = Place(0, 0)  # Connect's stored offset
        self.confirmed = 0  # the slot's: transactions that Kafka is known to have
        self._stops = 0  # that are not over yet
        self.undecodable = 0  # so many changes to come cannot be decoded by anybody
        self._on_damaged = on_damaged
        self._snapshot: deque[tuple[int, str]] = deque()
        self._windows: list[Window] = []

    def start(self) -> None:
        """Begin to send and to flush."""
        self._loop.call_later(0.01, self._work)
        self._loop.call_later(0.05, self._flush)

    # Ordinary life.

    def _work(self) -> None:
        if self.running:
            for _ in range(self._rng.randint(1, 10)):
                self._step()
        self._loop.call_later(self._rng.uniform(0.01, 0.05), self._work)

    def _flush(self) -> None:
        # What was flushed before is confirmed to the slot with the next flush.
        if self.running and not self._snapshot:
            self.confirmed = max(self.confirmed, min(self.flushed.commit, len(self._sot.wal)))
            self.flushed = self.place
        self._loop.call_later(self._rng.uniform(0.03, 0.12), self._flush)

    def _step(self) -> None:
        if self._snapshot:
            self._send_read(*self._snapshot.popleft())
            return
        for window in [each for each in self._windows if each.high <= self.place.commit]:
            self._close(window)
        commit, change = self.place
        if commit >= len(self._sot.wal):
            return
        changes = self._sot.wal[commit].changes
        if change < len(changes):
            self._send_change(changes[change], self._sot.wal[commit].txid)
            change += 1
        self.place = Place(commit + 1, 0) if change >= len(changes) else Place(commit, change)

    def _close(self, window: Window) -> None:
        """Send what a chunk read, without the rows that changed between its marks."""
        self._windows.remove(window)
        moved = keys_of(self._sot.wal[window.low : window.high])
        for key, value in window.rows.items():
            if key not in moved:
                self._send_read(key, value)

    def _send_change(self, change: Change, txid: int) -> None:
        if change.key == ALL_KEYS:
            self._topic.truncate(self._rng.randrange(len(self._topic.partitions)), self._loop.time(), txid & 0xFFFFFFFF)
            return
        row = None if change.partial else row_of(change.key, change.value)
        if change.partial:
            row = (str(change.key), "__debezium_unavailable_value")
        undecodable, self.undecodable = self.undecodable > 0, max(0, self.undecodable - 1)
        if undecodable:
            self._on_damaged([change.key])
        payload = Payload(
            key_bytes(change.key), op_of(change), row, line_of(row), change.lsn, txid & 0xFFFFFFFF, change.partial
        )
        self._topic.send(payload, self._loop.time(), undecodable=undecodable)

    def _send_read(self, key: int, value: str) -> None:
        row = row_of(key, value)
        self._topic.send(Payload(key_bytes(key), Op.read, row, line_of(row), 0, 0), self._loop.time())

    # What befalls it.

    def take_snapshot(self) -> None:
        """The first snapshot: exported with the slot, so exactly what was committed before its place in the log."""
        self.place = self.flushed = Place(len(self._sot.wal), 0)
        self._snapshot.extend(sorted(self._sot.rows.items()))

    def read_chunk(self) -> None:
        """An incremental snapshot: a mark in the log, a read, another mark; sent when the log is read up to that."""
        low = self._sot.fence()
        self._loop.call_later(self._rng.uniform(0, 0.1), self._read, low)

    def _read(self, low: int) -> None:
        rows = dict(sorted(self._sot.rows.items()))
        self._loop.call_later(self._rng.uniform(0, 0.1), lambda: self._mark(low, rows))

    def _mark(self, low: int, rows: dict[int, str]) -> None:
        self._windows.append(Window(low, self._sot.fence(), rows))

    def restart(self, down: float, late: int) -> None:
        """Stopped and started: what was not flushed is sent again. `late`: so many records that the stopped task had
        in its hands arrive all the same, after what the new one sends first.
        """
        self._stop(down, late)
        self._resume(self.flushed, snapshot=bool(self._snapshot))

    def lose_offsets(self, down: float, late: int) -> None:
        """Connect's offsets are gone; the slot is not: everything since its confirmed place is sent again."""
        self._stop(down, late)
        self._resume(Place(self.confirmed, 0), snapshot=bool(self._snapshot))

    def snapshot_again(self, down: float, late: int, *, skipping: bool) -> set[int]:
        """Offsets are gone and a new snapshot is made, then the log is read on: from the slot's place, or (`skipping`)
        from where the log was at the snapshot. Returns the keys with changes that were skipped.
        """
        self._stop(down, late)
        self._resume(Place(self.confirmed, 0), snapshot=True)
        return self._skip() if skipping else set()

    def recreate_slot(self, down: float, late: int) -> set[int]:
        """The slot is dropped and made anew: what was committed meanwhile is never sent. Returns its keys."""
        self._stop(down, late)
        self._resume(self.place, snapshot=bool(self._snapshot))
        return self._skip()

    def follow_failover(self, down: float) -> None:
        """The log is shorter than what was read of it."""
        self._stop(down, 0)
        end = Place(len(self._sot.wal), 0)
        self.place, self.flushed = min(self.place, end), min(self.flushed, end)
        self.confirmed = min(self.confirmed, len(self._sot.wal))
        for window in self._windows:
            window.low, window.high = min(window.low, end.commit), min(window.high, end.commit)

    @property
    def running(self) -> bool:
        """Whether nothing holds it: while the SOT is away, no restart brings it back."""
        return not self._stops

    @property
    def done(self) -> bool:
        """Whether everything in the log and in snapshots has been sent."""
        return self.place.commit >= len(self._sot.wal) and not self._snapshot and not self._windows

    def _skip(self) -> set[int]:
        place = self.place
        skipped = self._sot.wal[place.commit :]
        self.place = self.flushed = Place(len(self._sot.wal), 0)
        self.confirmed = len(self._sot.wal)
        return keys_of(skipped)

    def _stop(self, down: float, late: int) -> None:
        self._stops += 1
        self._loop.call_later(down, self._run)
        for key, value in [*self._snapshot][:late]:
            self._loop.call_later(down + self._rng.uniform(0, 0.3), self._send_read, key, value)
        for commit in self._sot.wal[self.place.commit : self.place.commit + 2]:
            for change in commit.changes[:late]:
                self._loop.call_later(down + self._rng.uniform(0, 0.3), self._send_change, change, commit.txid)
        for window in self._windows[:1]:
            for key, value in [*window.rows.items()][:late]:
                self._loop.call_later(down + self._rng.uniform(0, 0.3), self._send_read, key, value)

    def _run(self) -> None:
        self._stops -= 1

    def _resume(self, place: Place, *, snapshot: bool) -> None:
        """Go on from a place in the log; a snapshot that was not finished is made anew."""
        self.place = self.flushed = min(place, Place(len(self._sot.wal), 0))
        self._snapshot.clear()
        self._windows.clear()
        if snapshot:
            self._snapshot.extend(sorted(self._sot.rows.items()))
