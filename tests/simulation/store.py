"""The replica: holdtrue's own guard in memory, inside a store that fails, refuses, forgets, and has other writers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from random import Random

from streams.errors import StoreUnavailable
from streams.plan.mapping import Shape
from streams.replicas.base import Held, Outcome, Result, Write
from streams.replicas.memory import MemoryTable
from streams.rows.canonical import Row
from streams.versions.entry import Token

# Called with (key, before, after, write) after each write that was tried.
Watcher = Callable[[bytes, Held | None, Held | None, Write, bool], None]


class Store:
    """Keeps the contract of `ReplicaTable`."""

    def __init__(
        self, shape: Shape, rng: Random, watcher: Watcher, on_refused: Callable[[Iterable[bytes]], None]
    ) -> None:
        self.shape = shape
        self.unavailable = False
        self.halves = 0  # so many batches to come fail half-way
        self.refusing: set[bytes] = set()  # keys whose rows this store cannot hold
        self.changed: dict[bytes, int] = {}  # key → how often its content has changed
        # Called when content has changed.
        self.on_moved: Callable[[], None] = lambda: None
        self.table = MemoryTable(shape)
        self._rng = rng
        self._watcher = watcher
        self._on_refused = on_refused
        self._kept: tuple[dict[bytes, Token], dict[bytes, Row]] | None = None

    # The contract.

    def prepare(self) -> None:
        """Nothing is missing."""

    def apply(self, writes: Sequence[Write]) -> list[Result]:
        """The guard's answers; or an error, with some of the writes done, or all, or none."""
        self._be_there()
        if self.halves:
            self.halves -= 1
            self._apply(writes[: self._rng.randint(0, len(writes))])
            raise StoreUnavailable("the connection broke", "")
        return self._apply(writes)

    def overrule(self, key: bytes, expected: Token | None, write: Write) -> Result:
        """The guard's compare-and-set."""
        self._be_there()
        before = self._held(key)
        result = self.table.overrule(key, expected, write)
        self._changed(key, before, write, overruled=True)
        return result

    def stamp(self, writes: Sequence[Write]) -> list[Result]:
        """Tokens beside rows that are these."""
        self._be_there()
        return self.table.stamp(writes)

    def drop_tokens(self) -> int:
        """Tokens are gone."""
        self._be_there()
        return self.table.drop_tokens()

    def read(self, keys: Sequence[bytes]) -> dict[bytes, Held]:
        """Content and tokens."""
        self._be_there()
        return self.table.read(keys)

    def scan(self, chunk: int) -> Iterator[list[tuple[bytes, Held]]]:
        """Live rows."""
        self._be_there()
        return self.table.scan(chunk)

    def keys(self, chunk: int) -> Iterator[list[bytes]]:
        """Keys of live rows."""
        self._be_there()
        return self.table.keys(chunk)

    def count(self) -> int:
        """How many live rows."""
        self._be_there()
        return self.table.count()

    def forget_tombstones(self, older_than: timedelta) -> int:
        """None is old enough."""
        return 0

    def close(self) -> None:
        """Nothing is held."""

    # What befalls it. Each returns the keys that are not what they were.

    def plant(self, key: bytes, row: Row | None, token: Token | None = None) -> set[bytes]:
        """Somebody else writes a row, past the guard; with a token that is not ours, or under the one that is there."""
        self.table.plant(key, row)
        if token is not None:
            self.table._tokens[key] = token
        self._moved(key)
        return {key}

    def evict(self, key: bytes, *, token_too: bool) -> set[bytes]:
        """The row is dropped to make room; perhaps its token with it."""
        self.table.plant(key, None)
        if token_too:
            self.table._tokens.pop(key, None)
        self._moved(key)
        return {key}

    def keep_copy(self) -> None:
        """What a standby has; `roll_back` goes there."""
        self._kept = (self.table._tokens.copy(), self.table._rows.copy())

    def roll_back(self) -> set[bytes]:
        """A failover to a standby that lacks acknowledged writes, tokens included."""
        if self._kept is None:
            return set()
        tokens, rows = self.table._tokens, self.table._rows
        old_tokens, old_rows = self._kept
        keys = {*tokens, *rows, *old_tokens, *old_rows}
        lost = {k for k in keys if tokens.get(k) != old_tokens.get(k) or rows.get(k) != old_rows.get(k)}
        self.table._tokens, self.table._rows = old_tokens.copy(), old_rows.copy()
        for key in lost:
            self._moved(key)
        return lost

    def heal(self) -> None:
        """All of that is over."""
        self.unavailable, self.halves = False, 0
        self.refusing.clear()

    def row(self, key: bytes) -> Row | None:
        """The content, as a reader of the replica sees it."""
        return self.table._rows.get(key)

    def token(self, key: bytes) -> Token | None:
        """The token beside it."""
        return self.table._tokens.get(key)

    def _be_there(self) -> None:
        if self.unavailable:
            raise StoreUnavailable("the store is away", "")

    def _apply(self, writes: Sequence[Write]) -> list[Result]:
        taken = [write for write in writes if write.row is None or write.key not in self.refusing]
        before = [self._held(write.key) for write in taken]
        answers = iter(self.table.apply(taken))
        for write, held in zip(taken, before, strict=True):
            self._changed(write.key, held, write, overruled=False)
        refused = [write.row is not None and write.key in self.refusing for write in writes]
        self._on_refused(write.key for write, no in zip(writes, refused, strict=True) if no)
        return [Result(Outcome.refused, None, "it does not fit") if no else next(answers) for no in refused]

    def _moved(self, key: bytes) -> None:
        self.changed[key] = self.changed.get(key, 0) + 1
        self.on_moved()

    def _held(self, key: bytes) -> Held | None:
        return self.table.read([key]).get(key)

    def _changed(self, key: bytes, before: Held | None, write: Write, *, overruled: bool) -> None:
        after = self._held(key)
        if (before.row if before else None) != (after.row if after else None):
            self._moved(key)
        self._watcher(key, before, after, write, overruled)
