"""A load at a steady rate: inserts, updates and deletes, several keys a transaction, some keys again and again.

The keys of `cold` are never touched, nor is one that was handed over or is to be left alone: what is planted there, no
later change repairs.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from streams.bench import subject

HOT_KEYS: Final = 20
HOT_SHARE: Final = 0.2
KEYS_PER_TRANSACTION_MAX: Final = 20
UPDATES, INSERTS = 0.7, 0.15
# An update that touches the same keys twice in its transaction.
TWICE_SHARE: Final = 0.05
# Whoever is further behind than this goes on at the asked rate from here: a burst would be another load.
BEHIND_SECONDS_MAX: Final = 1.0
REST_SECONDS_MAX: Final = 0.5
STOP_SECONDS: Final = 30.0
# Deleted keys that are remembered, to be inserted again.
DELETED_MAX: Final = 10_000
_TRIES: Final = 50


class Wish(StrEnum):
    """What somebody wants a key for. written: inserted or updated. updated: one of the first rows, updated."""

    written = "written"
    updated = "updated"
    deleted = "deleted"


@dataclass(frozen=True, slots=True)
class Handed:
    """A key that was just written, and that the load leaves alone from now on. revision: of that write."""

    wish: Wish
    key: int
    revision: int


class Load:
    """Changes all keys but those of `cold` until it is stopped, at `rate` keys a second. Use as a context manager."""

    def __init__(
        self, dsn: str, rows: int, cold: range, rate: float, seed: int, *, written: set[int] | None = None
    ) -> None:
        self._dsn = dsn
        self._rows = rows
        self._rate = rate
        self._random = random.Random(seed)  # noqa: S311 - which rows change need not be a secret
        keys = [key for key in range(1, rows + 1) if key not in cold]
        self._hot, self._live = keys[:HOT_KEYS], keys[HOT_KEYS:]
        self._deleted: deque[int] = deque(maxlen=DELETED_MAX)
        # Deleted once and inserted again: of these nobody can tell from outside which delete a replica has seen.
        self._back: set[int] = set()
        self._next_key = rows + 1
        self._revision = 1
        self._left_alone: set[int] = set()
        self._wishes: deque[Wish] = deque()
        self.handed: deque[Handed] = deque()
        self._turn = threading.Lock()
        self._stopped = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="load")
        # Every key it has written, where somebody wants to know.
        self.written = written
        # While set, rows neither come nor go: all changes are updates.
        self.only_updates = False
        self.changes = 0
        self.seconds = 0.0

    def wish(self, wish: Wish) -> None:
        """Ask for a key; it comes into `handed` once a transaction has written one."""
        self._wishes.append(wish)

    def leave_alone(self, keys: Iterable[int]) -> None:
        """No transaction that begins after this touches them; none that is running does when this returns."""
        with self._turn:
            self._left_alone.update(keys)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Inside, no transaction runs."""
        with self._turn:
            yield

    def require_alive(self) -> None:
        """Raises what ended it."""
        if self._failed is not None:
            raise self._failed

    def stop(self) -> None:
        """End it; `changes` were made in `seconds` then."""
        self._stopped.set()
        self._thread.join(STOP_SECONDS)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        began = time.monotonic()
        try:
            with subject.connect(self._dsn) as sot:
                for _ in self._turns():
                    with self._turn:
                        self._transaction(sot)
        except BaseException as error:
            self._failed = error
        finally:
            self.seconds = time.monotonic() - began

    def _turns(self) -> Iterator[None]:
        """One after the other, as the rate allows, until the load is stopped."""
        base, counted = time.monotonic(), self.changes
        while not self._stopped.is_set():
            ahead = base + (self.changes - counted) / self._rate - time.monotonic()
            if ahead < -BEHIND_SECONDS_MAX:
                base, counted = time.monotonic(), self.changes
            elif ahead > 0 and self._stopped.wait(min(ahead, REST_SECONDS_MAX)):
                return
            if ahead <= REST_SECONDS_MAX:
                yield

    def _transaction(self, sot: Any) -> None:
        self._revision += 1
        size = self._random.randint(1, KEYS_PER_TRANSACTION_MAX)
        with sot.transaction():
            # Several statements: a transaction that is seen in part would be seen here.
            kinds = [self._kind() for _ in range(self._random.randint(1, 3))]
            done = [self._statement(sot, kind, -(-size // len(kinds))) for kind in kinds]
        if self.written is not None:
            self.written.update(key for _, keys in done for key in keys)
        self._hand_over(done)

    def _kind(self) -> float:
        drawn = self._random.random()
        return drawn * UPDATES if self.only_updates else drawn

    def _statement(self, sot: Any, kind: float, size: int) -> tuple[Wish, list[int]]:
        if kind < UPDATES:
            keys = self._picked(size)
            for _ in range(2 if self._random.random() < TWICE_SHARE else 1):
                subject.change(sot, keys, self._revision)
                self.changes += len(keys)
            return Wish.updated, keys
        if kind < UPDATES + INSERTS:
            keys = self._new(size)
            subject.insert(sot, subject.TABLE, keys, self._revision)
            self._live += keys
        else:
            keys = self._taken_out(size)
            subject.delete(sot, keys)
            self._deleted += keys
        self.changes += len(keys)
        return (Wish.written if kind < UPDATES + INSERTS else Wish.deleted), keys

    def _picked(self, size: int) -> list[int]:
        """Keys to update, each once, in order: two transactions never wait for each other."""
        hot = [self._random.choice(self._hot) for _ in range(size) if self._random.random() < HOT_SHARE]
        rest = [self._live[place] for place in self._places(size - len(hot))]
        return sorted({*hot, *rest} - self._left_alone)

    def _places(self, size: int) -> set[int]:
        found: set[int] = set()
        for _ in range(size + _TRIES):
            place = self._random.randrange(len(self._live))
            if len(found) < size and self._live[place] not in self._left_alone:
                found.add(place)
        return found

    def _new(self, size: int) -> list[int]:
        """Keys to insert: some were there before."""
        back = [self._deleted.popleft() for _ in range(min(size // 2, len(self._deleted)))]
        self._back.update(back)
        fresh = range(self._next_key, self._next_key + size - len(back))
        self._next_key = fresh.stop
        return [*(key for key in back if key not in self._left_alone), *fresh]

    def _taken_out(self, size: int) -> list[int]:
        """Keys to delete, no longer among the living."""
        keys = []
        for place in sorted(self._places(size), reverse=True):
            keys.append(self._live[place])
            self._live[place] = self._live[-1]
            self._live.pop()
        return keys

    def _hand_over(self, done: Sequence[tuple[Wish, list[int]]]) -> None:
        """Give what was wished for from this transaction. A key that a later statement wrote again is no victim."""
        written = [(kind, key) for kind, keys in done for key in keys]
        count = {key: [each for _, each in written].count(key) for _, key in written} if self._wishes else {}
        for _ in range(len(self._wishes)):
            wish = self._wishes.popleft()
            fits = (key for kind, key in written if count[key] == 1 and self._fits(wish, kind, key))
            if (key := next(fits, None)) is None:
                self._wishes.append(wish)
                continue
            self._left_alone.add(key)
            self.handed.append(Handed(wish, key, self._revision))

    def _fits(self, wish: Wish, kind: Wish, key: int) -> bool:
        if key in self._left_alone or key <= self._hot[-1]:
            return False
        if wish is Wish.updated:
            return kind is wish and key <= self._rows
        if wish is Wish.deleted:
            return kind is wish and key not in self._back
        return kind is not Wish.deleted
