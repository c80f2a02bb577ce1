"""The guard in memory: a true implementation of the contract, for the simulator and for tests of what stands on it.

It decides and writes under one lock, which is what the other stores reach with a transaction, a script or a condition.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from threading import Lock
from typing import TYPE_CHECKING

from streams.replicas.base import APPLIED, Held, Outcome, Result, Write
from streams.rows.canonical import Row
from streams.versions.entry import Token

if TYPE_CHECKING:
    from streams.plan.mapping import Shape


class MemoryTable:
    """One table of a replica that lives in this process. Tokens and content are kept apart, as stores do."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self._tokens: dict[bytes, Token] = {}
        self._rows: dict[bytes, Row] = {}
        self._lock = Lock()

    def prepare(self) -> None:
        """Nothing is missing here."""

    def apply(self, writes: Sequence[Write]) -> list[Result]:
        """Guarded writes; the whole batch is one atomic step."""
        with self._lock:
            return [self._guarded(write) for write in writes]

    def overrule(self, key: bytes, expected: Token | None, write: Write) -> Result:
        """Write if the stored token is still `expected` (None: the key has no token)."""
        with self._lock:
            if self._tokens.get(key) != expected:
                return self._lost(write)
            return self._written(write)

    def stamp(self, writes: Sequence[Write]) -> list[Result]:
        """Tokens beside rows that are these."""
        with self._lock:
            return [self._stamped(write) for write in writes]

    def drop_tokens(self) -> int:
        """Tokens are gone."""
        with self._lock:
            count = len(self._tokens)
            self._tokens.clear()
            return count

    def read(self, keys: Sequence[bytes]) -> dict[bytes, Held]:
        """Content of the given keys; keys never heard of are left out."""
        with self._lock:
            known = (key for key in keys if key in self._tokens or key in self._rows)
            return {key: self._held(key) for key in known}

    def scan(self, chunk: int) -> Iterator[list[tuple[bytes, Held]]]:
        """Live rows in key order, as they were when the scan began."""
        with self._lock:
            live = [(key, self._held(key)) for key in sorted(self._rows)]
        for start in range(0, len(live), chunk):
            yield live[start : start + chunk]

    def keys(self, chunk: int) -> Iterator[list[bytes]]:
        """Keys of live rows in their order."""
        return ([key for key, _ in rows] for rows in self.scan(chunk))

    def count(self) -> int:
        """Number of live rows."""
        with self._lock:
            return len(self._rows)

    def forget_tombstones(self, older_than: timedelta) -> int:
        """Tombstones live as long as this process."""
        return 0

    def close(self) -> None:
        """Nothing is held."""

    def plant(self, key: bytes, row: Row | None) -> None:
        """Write (or with None remove) content past the guard, as a rogue writer of the store would."""
        with self._lock:
            self._set(key, row)

    def _guarded(self, write: Write) -> Result:
        stored = self._tokens.get(write.key)
        if stored is not None and stored >= write.token:
            return self._lost(write)
        return self._written(write)

    def _lost(self, write: Write) -> Result:
        stored = self._tokens.get(write.key)
        if stored != write.token:
            return Result(Outcome.stale, stored)
        same = self._rows.get(write.key) == write.row
        return Result(Outcome.duplicate if same else Outcome.conflict, stored)

    def _written(self, write: Write) -> Result:
        self._tokens[write.key] = write.token
        self._set(write.key, write.row)
        return APPLIED

    def _set(self, key: bytes, row: Row | None) -> None:
        if row is None:
            self._rows.pop(key, None)
        else:
            self._rows[key] = row

    def _held(self, key: bytes) -> Held:
        return Held(self._tokens.get(key), self._rows.get(key))

    def _stamped(self, write: Write) -> Result:
        stored = self._tokens.get(write.key)
        if write.row is None or self._rows.get(write.key) != write.row:
            return Result(Outcome.conflict, stored)
        if stored is not None and not stored < write.token:
            return Result(Outcome.duplicate if stored == write.token else Outcome.stale, stored)
        self._tokens[write.key] = write.token
        return APPLIED
